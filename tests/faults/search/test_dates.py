"""A time half understood gave a wrong interval: "half a year ago" was last year.

The table `tests/data/dates.tsv` says for each phrase which days it names, or that it names none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import AsyncMemory, Memory, Message
from agentmem.models.bundle.load import ModelBundle
from agentmem.retrieval.dates import Interval, named_interval
from agentmem.retrieval.dates.calendar import shifted
from agentmem.retrieval.supersession import Wording
from agentmem.retrieval.timely import _named
from tests.support.cli import Cli

TABLE = Path(__file__).parents[2] / "data" / "dates.tsv"
# A Wednesday.
NOW = datetime(2024, 3, 13, 15, 30, tzinfo=UTC)
DAY = timedelta(days=1)
YORK = ZoneInfo("America/New_York")


def rows() -> Iterator[tuple[str, Interval | None]]:
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            phrase, *ends = (part.strip() for part in line.split("|"))
            yield phrase, Interval(*map(midnight, ends)) if ends else None


def midnight(day: str) -> datetime | None:
    return None if day == "-" else datetime.fromisoformat(day).replace(tzinfo=UTC)


ROWS = list(rows())


def test_the_table_is_large_and_has_no_phrase_twice() -> None:
    assert len({phrase for phrase, _ in ROWS}) == len(ROWS) >= 1_500
    assert sum(found is None for _, found in ROWS) >= 700


def test_the_right_interval_or_none() -> None:
    found = {phrase: named_interval(phrase, NOW) for phrase, _ in ROWS}
    assert {phrase: found[phrase] for phrase, right in ROWS if found[phrase] != right} == {}


@pytest.mark.parametrize("around", ["Tell me, {}?", "{}, what did we do"])
def test_a_sentence_around_it_changes_nothing(around: str) -> None:
    named = [row for row in ROWS if row[1] is not None and not row[0].endswith("?")]
    found = {phrase: named_interval(around.format(phrase), NOW) for phrase, _ in named}
    assert {phrase: found[phrase] for phrase, right in named if found[phrase] != right} == {}


COUNTS = st.integers(1, 12)
UNITS = st.sampled_from(["day", "week", "month", "year"])
ABOUT = st.sampled_from(["", "about ", "almost ", "less than ", "more than ", "around ", "over "])
NOWS = st.datetimes(datetime(1950, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))


CLOCK = {"minute": 60, "hour": 3600}
ZONES = st.sampled_from([UTC, YORK, timezone(timedelta(hours=13)), ZoneInfo("Europe/Berlin")])


def in_utc(found: Interval | None) -> Interval:
    """Times of one zone are compared by its clocks, which may have been changed in between."""
    assert found is not None
    since, until = (end and end.astimezone(UTC) for end in (found.since, found.until))
    return Interval(since, until)


@given(st.integers(2, 100), st.sampled_from(sorted(CLOCK)), ABOUT, NOWS, ZONES)
def test_hours_ago_contain_their_reference_and_are_never_in_the_future(
    count: int, unit: str, about: str, now: datetime, zone: Any
) -> None:
    found = in_utc(
        named_interval(f"what did I say {about}{count} {unit}s ago?", now.astimezone(zone))
    )
    reference = now - timedelta(seconds=count * CLOCK[unit])
    assert found.until is not None
    assert reference <= found.until <= now
    assert (found.since is None) == (about in ("more than ", "over "))
    if found.since is not None:
        assert found.since <= reference
        assert found.until - found.since <= timedelta(seconds=2 * max(count, 10) * CLOCK[unit])


@given(st.integers(1, 23), st.sampled_from(sorted(CLOCK)), NOWS, ZONES)
def test_the_last_hours_end_now(count: int, unit: str, now: datetime, zone: Any) -> None:
    plural = "" if count == 1 else "s"
    said = f"what did I say in the last {count} {unit}{plural}?"
    since = now - timedelta(seconds=count * CLOCK[unit])
    assert in_utc(named_interval(said, now.astimezone(zone))) == Interval(since, now)


@given(count=COUNTS, unit=UNITS, about=ABOUT, now=NOWS)
def test_ago_contains_its_reference_and_is_never_in_the_future(
    count: int, unit: str, about: str, now: datetime
) -> None:
    found = named_interval(f"{about}{count} {unit}s ago", now)
    assert found is not None
    reference = shifted(now.date(), unit, -count)
    assert found.until is not None
    assert found.since is None or found.since.date() <= reference
    assert found.until.date() > reference
    assert found.until.date() <= now.date() + DAY


@given(low=st.integers(1, 6), more=st.integers(1, 6), unit=UNITS, now=NOWS)
def test_two_counts_contain_both(low: int, more: int, unit: str, now: datetime) -> None:
    found = named_interval(f"{low} or {low + more} {unit}s ago", now)
    assert found is not None
    assert found.since is not None
    assert found.until is not None
    for count in (low, low + more):
        reference = shifted(now.date(), unit, -count)
        assert found.since.date() <= reference < found.until.date() <= now.date() + DAY


@given(number=st.integers(1, 31), now=NOWS)
def test_a_day_of_no_named_month_is_the_latest(number: int, now: datetime) -> None:
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number // 10 != 1 else 0, "th")
    found = named_interval(f"what happened on the {number}{suffix}?", now)
    days = (now.date() - DAY * back for back in range(63))
    first = midnight(next(day for day in days if day.day == number).isoformat())
    assert first is not None
    assert found == Interval(first, first + DAY)


@given(weekday=st.integers(0, 6), now=NOWS)
def test_a_weekday_in_the_past_tense_is_the_latest_before_today(
    weekday: int, now: datetime
) -> None:
    name = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()[weekday]
    days = (now.date() - DAY * back for back in range(1, 8))
    first = midnight(next(day for day in days if day.weekday() == weekday).isoformat())
    assert first is not None
    assert named_interval(f"what did I do on {name}?", now) == Interval(first, first + DAY)
    assert named_interval(f"what am I doing on {name}?", now) is None
    assert named_interval(f"what was I supposed to do on {name}?", now) is None


LATER = st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))


@given(day=st.dates(date(1950, 1, 1), date(2090, 1, 1)), now=LATER)
@pytest.mark.parametrize("form", ["%d.%m.%y", "%d/%m/%y", "%m/%d/%y"])
def test_a_year_of_two_digits_is_the_right_one_or_none(form: str, day: date, now: datetime) -> None:
    found = named_interval(f"on {day.strftime(form)}", now)
    if found is not None:
        assert found.since is not None
        assert found.since.strftime(form) == day.strftime(form)
        assert found.since.year <= now.year + 10


# Times that are not read, or not times of the past.
UNREAD = ["Easter", "next week", "the following month", "that week", "Mai", "tomorrow"]
JOINED = ["{} or {}", "{} and {}", "{}, {} and later", "{} to {}", "{}/{}", "{} (or {})"]
NAMED = [phrase for phrase, found in ROWS if found is not None and "?" not in phrase]
PLAIN = ["in May 2022", "on 3 May 2022", "last week", "yesterday", "in 2022", "two weeks ago"]
PLAIN += ["since May", "the last Friday in May", "from March to May 2023", "in 2020 and 2021"]
PLAIN += ["two days before yesterday", "within two days of 3 May 2023", "the past 3 days"]
NEGATED = ["not {}", "neither {} nor at home", "except {}", "any time but {}", "other than {}"]


@given(phrase=st.sampled_from(PLAIN), unread=st.sampled_from(UNREAD), form=st.sampled_from(JOINED))
def test_beside_a_time_that_is_not_read_none_is(phrase: str, unread: str, form: str) -> None:
    assert named_interval(form.format(phrase, unread), NOW) is None
    assert named_interval(form.format(unread, phrase), NOW) is None


@given(phrase=st.sampled_from(PLAIN), form=st.sampled_from(NEGATED))
def test_a_negated_time_is_none(phrase: str, form: str) -> None:
    assert named_interval(form.format(phrase), NOW) is None


@given(first=st.sampled_from(NAMED), second=st.sampled_from(NAMED))
def test_two_times_are_both_in_the_interval(first: str, second: str) -> None:
    """However they are understood together, neither is cut off."""
    found = named_interval(f"{first} and {second}", NOW)
    if found is not None and found.since is not None and found.until is not None:
        assert found.since < found.until


@given(years=st.lists(st.integers(1950, 2049), min_size=2, max_size=6, unique=True))
def test_a_list_of_years_is_from_the_first_to_the_last(years: list[int]) -> None:
    *before, last = map(str, years)
    found = named_interval(f"in {', '.join(before)} and {last}", NOW)
    assert found == Interval(midnight(f"{min(years)}-01-01"), midnight(f"{max(years) + 1}-01-01"))


@given(day=st.dates(date(1950, 1, 1), date(2090, 1, 1)), count=st.integers(1, 30), unit=UNITS)
def test_units_up_to_a_day_and_around_it(day: date, count: int, unit: str) -> None:
    said = f"{day.day} {MONTHS.split()[day.month - 1]} {day.year}"
    first = midnight(shifted(day, unit, -count).isoformat())
    before = named_interval(f"in the {count} {unit}s before {said}", NOW)
    assert before == Interval(first, midnight(day.isoformat()))
    within = named_interval(f"within {count} {unit}s of {said}", NOW)
    assert within is not None
    assert within.since == first
    assert within.until == midnight(shifted(day + DAY, unit, count).isoformat())


@given(number=st.integers(1900, 2099), noun=st.sampled_from(["meters", "people", "km", "steps"]))
def test_an_amount_is_no_year(number: int, noun: str) -> None:
    assert named_interval(f"she ran it in {number} {noun}", NOW) is None


@given(now=NOWS, month=st.integers(1, 12), weekday=st.integers(0, 6))
def test_a_weekday_and_a_day_that_do_not_agree_are_none(
    now: datetime, month: int, weekday: int
) -> None:
    names = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
    said = f"{names[weekday]}, {MONTHS.split()[month - 1]} 4"
    found = named_interval(said, now)
    plain = named_interval(said.split(", ")[1], now)
    assert plain is not None
    assert plain.since is not None
    assert found == (plain if plain.since.weekday() == weekday else None)


MONTHS = "January February March April May June July August September October November December"


@given(first=st.dates(date(1950, 1, 1), date(2090, 1, 1)), days=st.integers(1, 400))
def test_from_one_day_to_another_is_from_the_one_to_the_other(first: date, days: int) -> None:
    last = first + days * DAY

    def said(day: date) -> str:
        return f"{day.day} {MONTHS.split()[day.month - 1]} {day.year}"

    expected = Interval(midnight(first.isoformat()), midnight((last + DAY).isoformat()))
    for phrase in ("from {} to {}", "between {} and {}", "{} and {}", "{} - {}"):
        assert named_interval(phrase.format(said(first), said(last)), NOW) == expected


@pytest.fixture
def late(memory: Memory) -> Memory:
    """Said in New York in the evening of 2 May, when it was 3 May in UTC."""
    said = datetime(2024, 5, 2, 21, 30, tzinfo=YORK)
    memory.add(Message("We had sardines.", name="Ana", created_at=said), user_id="ana")
    return memory


@pytest.mark.parametrize(
    ("now", "day"),
    [
        (datetime(2024, 5, 3, 9, tzinfo=YORK), "2024-05-02"),
        (datetime(2024, 5, 3, 9, tzinfo=timezone(timedelta(hours=9))), "2024-05-03"),
        (datetime(2024, 5, 3, 9, tzinfo=UTC), "2024-05-03"),
        ("2024-05-03T09:00:00-04:00", "2024-05-02"),
    ],
)
def test_a_packed_day_is_that_of_the_zone_of_now(late: Memory, now: Any, day: str) -> None:
    found = late.recall("sardines", user_id="ana", now=now)
    assert f"[{day}] Ana:" in found.pack(max_tokens=200).to_text()
    assert f"[{day}] Ana:" in found.pack(max_tokens=900, policy="auto").to_text()
    assert found[0].created_at == datetime(2024, 5, 3, 1, 30, tzinfo=UTC)


async def _async_day(place: Path, model: ModelBundle) -> str:
    async with await AsyncMemory.open(place, model=model) as memory:
        found = await memory.recall(
            "sardines yesterday", now=datetime(2024, 5, 3, 9, tzinfo=YORK), user_id="ana"
        )
        assert found[0].explain["time"] == 1.0
        return found.pack(max_tokens=200).to_text()


def test_async_memory_has_the_same_days(late: Memory, place: Path, model: ModelBundle) -> None:
    assert "[2024-05-02] Ana:" in asyncio.run(_async_day(place, model))


def test_yesterday_on_the_command_line_is_that_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")  # fourteen hours before UTC
    time.tzset()
    try:
        cli = Cli(tmp_path)
        cli.ok("add", "We had sardines.", "--at", "2024-05-02T23:30:00Z")
        (hit,) = cli.json("recall", "sardines yesterday", "--now", "2024-05-04T08:00")["hits"]
        assert hit["explain"]["time"] == 1.0
        assert hit["created_at"] == "2024-05-03T13:30:00+14:00"
        told = cli.ok("recall", "sardines", "--budget", "200")
        assert "[2024-05-03]" in told
    finally:
        monkeypatch.undo()
        time.tzset()


ANGELES = ZoneInfo("America/Los_Angeles")
DATES = [("2026-05-03", "2026-05-04"), (date(2026, 5, 3), date(2026, 5, 4))]


@pytest.mark.parametrize("days", DATES)
@pytest.mark.parametrize("zone", [ANGELES, UTC, ZoneInfo("Pacific/Kiritimati")])
def test_a_date_is_that_day_in_every_zone(memory: Memory, days: Any, zone: Any) -> None:
    """West of UTC, what had only a date was of the day before."""
    for day, place in zip(days, ("by the river", "in the car"), strict=True):
        memory.add(Message(f"We ate sardines {place}.", name="Ana", created_at=day), user_id="ana")
    now = datetime(2026, 5, 6, 9, tzinfo=zone)
    asked = "where did we eat sardines on 3 May 2026?"
    found = memory.recall(asked, user_id="ana", now=now)
    timely = {hit.text: hit.explain["time"] > 0 for hit in found}
    assert timely == {"We ate sardines by the river.": True, "We ate sardines in the car.": False}
    assert "[2026-05-03] Ana: We ate sardines by the river." in found.pack(max_tokens=200).to_text()
    assert found[0].created_at == datetime(2026, 5, 3, tzinfo=UTC)


def test_a_time_beside_a_date_is_of_its_own_day(memory: Memory) -> None:
    """In Los Angeles, one in the morning in UTC is on the day before."""
    memory.add(Message("We had sardines.", created_at="2026-05-04T01:00:00Z"), user_id="ana")
    memory.add(Message("We had tuna.", created_at="2026-05-04"), user_id="ana")
    for day, right in ((3, "We had sardines."), (4, "We had tuna.")):
        asked = f"what did we have on {day} May 2026?"
        now = datetime(2026, 5, 6, 9, tzinfo=ANGELES)
        found = memory.recall(asked, user_id="ana", now=now)
        assert [hit.text for hit in found if hit.explain["time"]] == [right]
    found = memory.recall("what did we have since 4 May 2026?", user_id="ana", now=now)
    assert [hit.text for hit in found if hit.explain["time"]] == ["We had tuna."]


@pytest.mark.parametrize(
    ("asked", "right"),
    [
        ("what did I tell you ten minutes ago?", {10}),
        ("what did I do an hour ago?", {55}),
        ("what did I do about two hours ago?", {55, 130}),
        ("what did I do in the last two hours?", {3, 10, 55}),
        ("what did I do more than two hours ago?", {130, 400, 2_000}),
        ("what did I do this morning?", {3, 10, 55, 130, 400}),
    ],
)
@pytest.mark.parametrize("zone", [UTC, YORK])
def test_hours_are_those_of_what_was_said(
    memory: Memory, asked: str, right: set[int], zone: Any
) -> None:
    now = datetime(2026, 5, 3, 19, 30, tzinfo=UTC)
    for minutes in (3, 10, 55, 130, 400):
        said = now - timedelta(minutes=minutes)
        memory.add(Message(f"It is {minutes} before.", created_at=said), user_id="ana")
    memory.add(Message("It is 2000 before.", created_at="2026-05-02"), user_id="ana")
    found = memory.recall(asked, user_id="ana", now=now.astimezone(zone), k=10)
    timely = {hit.text for hit in found if hit.explain["time"]}
    assert timely == {f"It is {minutes} before." for minutes in right}


def test_an_hour_ago_on_a_day_of_which_no_more_is_known_is_no_time(memory: Memory) -> None:
    """It was an hour of the day before."""
    days = ["2026-05-04", "2026-05-04T12:00:00Z"]
    ids = [memory.add(Message("We met an hour ago.", created_at=day)).ids[0] for day in days]
    now = datetime(2026, 5, 6, tzinfo=UTC)
    day = named_interval("on 3 May 2026", now)
    assert day is not None
    asked = day
    assert asked.of_days
    wordings = dict.fromkeys(ids, Wording("We met an hour ago.", None))
    found = memory._store.snapshot(lambda one: _named(one, ids, asked, now, lambda _: wordings))
    assert found == (set(), {ids[1]})


def test_a_date_in_a_file_is_that_day_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    time.tzset()
    try:
        cli = Cli(tmp_path)
        said = tmp_path / "said.json"
        said.write_text(
            '[{"role": "user", "content": "We had sardines.", "created_at": "2025-01-01"}]'
        )
        cli.ok("add", "--file", str(said))
        assert "2025-01-01" in cli.ok("list")
        assert "2025-01-01" in cli.ok("recall", "sardines")
        cli.ok("add", "We had tuna.", "--at", "2025-01-01")
        assert cli.ok("list").count("2025-01-01") == 2
    finally:
        monkeypatch.undo()
        time.tzset()
