"""Dates in questions: which expressions are parsed, and to which interval."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem.retrieval.dates import Interval, named_interval

# A Wednesday.
NOW = datetime(2024, 3, 13, 15, 30, tzinfo=UTC)
DAY = timedelta(days=1)

TABLE = [
    # days
    ("What did Ana do on 3 May 2023?", "2023-05-03", "2023-05-04"),
    ("what did ana do on 3 may 2023?", "2023-05-03", "2023-05-04"),
    ("the 3rd of May, 2023", "2023-05-03", "2023-05-04"),
    ("May 3, 2023", "2023-05-03", "2023-05-04"),
    ("May 3rd 2023", "2023-05-03", "2023-05-04"),
    ("Sept. 4, 2021?", "2021-09-04", "2021-09-05"),
    ("(DEC 25 2022)", "2022-12-25", "2022-12-26"),
    ("on the 29th of February", "2024-02-29", "2024-03-01"),
    ("the log of 2023-05-03", "2023-05-03", "2023-05-04"),
    ("2023-05-03T10:00:00Z what failed", "2023-05-03", "2023-05-04"),
    ("on 2023/5/3", "2023-05-03", "2023-05-04"),
    # days without a year: the last that has come
    ("on 13 March", "2024-03-13", "2024-03-14"),
    ("on 14 March", "2023-03-14", "2023-03-15"),
    ("June 12th", "2023-06-12", "2023-06-13"),
    ("what did I say on may 3 about it", "2023-05-03", "2023-05-04"),
    ("what did I do may 3?", "2023-05-03", "2023-05-04"),
    # months
    ("in May 2023", "2023-05-01", "2023-06-01"),
    ("may 2023", "2023-05-01", "2023-06-01"),
    ("the end of May, 2023", "2023-05-01", "2023-06-01"),
    ("in mid-June 2021", "2021-06-01", "2021-07-01"),
    ("in 2023-12", "2023-12-01", "2024-01-01"),
    ("last May", "2023-05-01", "2023-06-01"),
    ("last march", "2023-03-01", "2023-04-01"),
    ("in march", "2024-03-01", "2024-04-01"),
    ("in April", "2023-04-01", "2023-05-01"),
    ("during late December", "2023-12-01", "2024-01-01"),
    # years
    ("in 2023 we met", "2023-01-01", "2024-01-01"),
    ("the summer of 2022", "2022-01-01", "2023-01-01"),
    ("in the year 1999", "1999-01-01", "2000-01-01"),
    ("In early 2020,", "2020-01-01", "2021-01-01"),
    # counted from now
    ("what happened yesterday", "2024-03-12", "2024-03-13"),
    ("Yesterday's lunch", "2024-03-12", "2024-03-13"),
    ("the day before yesterday", "2024-03-11", "2024-03-12"),
    ("last night", "2024-03-12", "2024-03-13"),
    ("last week", "2024-03-04", "2024-03-11"),
    ("last month", "2024-02-01", "2024-03-01"),
    ("last year", "2023-01-01", "2024-01-01"),
    ("last weekend", "2024-03-09", "2024-03-11"),
    ("last Tuesday", "2024-03-12", "2024-03-13"),
    ("last wednesday", "2024-03-06", "2024-03-07"),
    ("two days ago", "2024-03-11", "2024-03-12"),
    ("10 days ago", "2024-03-03", "2024-03-04"),
    ("a week ago", "2024-03-04", "2024-03-11"),
    ("a  couple\nof weeks ago", "2024-02-26", "2024-03-04"),
    ("3 months ago", "2023-12-01", "2024-01-01"),
    ("a year ago", "2023-01-01", "2024-01-01"),
    ("over the past two months", "2024-01-13", "2024-03-14"),
    ("the past week", "2024-03-06", "2024-03-14"),
    ("the last 3 days", "2024-03-10", "2024-03-14"),
    # several, and open ends
    ("between May 2022 and July 2022", "2022-05-01", "2022-08-01"),
    ("last week or yesterday", "2024-03-04", "2024-03-13"),
    ("the last week of May 2023", "2023-05-22", "2023-06-01"),
    ("since May", "2023-05-01", None),
    ("since last May", "2023-05-01", None),
    ("after 3 May 2023", "2023-05-04", None),
    ("before the 3rd of May 2023", None, "2023-05-03"),
    ("before 2023", None, "2023-01-01"),
    ("until yesterday", None, "2024-03-13"),
    ("after 2020 and before 2023", "2021-01-01", "2023-01-01"),
]

NO_DATES = [
    "",
    "When does the train to Lyon leave?",
    "May I come in?",
    "it may rain, and I may 3 times",
    "which of the 3 may come",
    "march on, soldiers",
    "june and april are my sisters",
    "the second of them",
    "room 2023",
    "model 2023-05",
    "call 2023-05-03-17",
    "version 1.2 days ago",
    "in 20231",
    "summarize the last 2000 words",
    "the last word",
    "a week",
    "some time ago",
    "a few days ago",
    "what do I do today?",
    "who comes this week?",
    "next May 3",
    "next week",
    "on Monday",
    "May 3,000 people came",
    "May 3.5",
    "3:40",
    "30 February",
    "9999 years ago",
    "before 2020 and after 2023",
    "now",
]


def midnight(day: str | None) -> datetime | None:
    return None if day is None else datetime.fromisoformat(day).replace(tzinfo=UTC)


@pytest.mark.parametrize(("query", "since", "until"), TABLE, ids=[row[0] for row in TABLE])
def test_what_is_understood(query: str, since: str | None, until: str | None) -> None:
    assert named_interval(query, NOW) == Interval(midnight(since), midnight(until))


@pytest.mark.parametrize("query", NO_DATES)
def test_what_is_no_date(query: str) -> None:
    assert named_interval(query, NOW) is None


def test_days_are_those_of_the_zone_of_now() -> None:
    tokyo = timezone(timedelta(hours=9))
    now = datetime(2024, 3, 13, 1, 0, tzinfo=tokyo)  # the 12th in UTC
    found = named_interval("yesterday", now)
    assert found == Interval(
        datetime(2024, 3, 12, tzinfo=tokyo), datetime(2024, 3, 13, tzinfo=tokyo)
    )
    assert named_interval("yesterday", now.astimezone(UTC)) != found


@pytest.mark.parametrize("query", ["yesterday", "2 months ago", "last year", "the past 3 weeks"])
def test_no_time_before_the_first_year(query: str) -> None:
    assert named_interval(query, datetime(1, 1, 1, tzinfo=UTC)) is None


def test_a_long_query_is_read_as_a_whole() -> None:
    found = named_interval("in 2023", NOW)
    assert found == named_interval("in 2023 " + "word " * 10_000, NOW)
    assert found == named_interval("word " * 10_000 + "in 2023", NOW)


def test_a_text_that_names_hundreds_of_times_asks_about_none() -> None:
    assert named_interval("in 2023 " * 1_000, NOW) is None


DAYS = st.dates(date(1901, 1, 1), date(2099, 12, 31))
FORMS = ["{d} {m} {y}", "{d}th of {m}, {y}", "{m} {d}, {y}", "{m} the {d}th {y}"]
FORMS += ["{y}-{n:02}-{d:02}"]
MONTHS = "January February March April May June July August September October November December"
PLAIN = st.lists(
    st.sampled_from("who said that she may come to Lyon about tea the days and march".split()),
    max_size=6,
).map(" ".join)


@given(day=DAYS, form=st.sampled_from(FORMS), short=st.booleans(), before=PLAIN, after=PLAIN)
def test_a_whole_date_is_that_day(
    day: date, form: str, short: bool, before: str, after: str
) -> None:
    name = MONTHS.split()[day.month - 1]
    said = form.format(d=day.day, m=name[:3] if short else name, y=day.year, n=day.month)
    first = datetime(day.year, day.month, day.day, tzinfo=UTC)
    assert named_interval(f"{before} ; {said} ; {after}", NOW) == Interval(first, first + DAY)


@given(day=DAYS)
def test_a_day_without_a_year_is_the_last_that_has_come(day: date) -> None:
    found = named_interval(f"on {day.day} {MONTHS.split()[day.month - 1]}", NOW)
    assert found is not None
    assert found.since is not None
    assert (found.since.month, found.since.day) == (day.month, day.day)
    assert found.since <= NOW
    if (day.month, day.day) != (2, 29):
        assert NOW < found.since.replace(year=found.since.year + 1)


@given(number=st.integers(0, 3000), unit=st.sampled_from(["day", "week", "month", "year"]))
def test_so_long_ago_is_before_what_is_nearer(number: int, unit: str) -> None:
    """The days, weeks, months and years lie one behind the other, without gaps."""
    near = named_interval(f"{number} {unit}s ago", NOW)
    far = named_interval(f"{number + 1} {unit}s ago", NOW)
    if far is None:
        assert number + 1 >= NOW.year
    else:
        assert near is not None
        assert far.until == near.since
    if number == 0:
        assert near is not None
        assert near.since is not None
        assert near.until is not None
        assert near.since <= NOW < near.until


WORDS = [word for query, *_ in TABLE for word in query.split()] + [
    *("31", "0", "٣", "2023", "-", "of", "the", "may", "99999", "since", "\0", "é", "ago")
]


@given(
    query=st.one_of(st.text(), st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)),
    now=st.datetimes(timezones=st.just(UTC)),
)
def test_any_query_gives_a_stretch_of_time_or_none(query: str, now: datetime) -> None:
    found = named_interval(query, now)
    if found is not None:
        assert found.since is not None or found.until is not None
        if found.since is not None and found.until is not None:
            assert found.since < found.until
    assert named_interval(query, now) == found
