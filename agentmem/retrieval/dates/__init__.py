"""Parses the time that a query names in English: "last May", "in 2023", "two days ago".

A time is understood as a whole or not at all: an expression of which only a part is known, such as
"a few weeks before last Easter" or "in May or at Easter", names none. Days, months and years are in
the zone of ``now``, weeks begin on Monday. Supported are:

- days: "3 May 2023", "May 3rd", "the twenty third of May", "Friday, 3 May", "2023-05-03",
  "25/12/2023", "14.05.23", "the 3rd of last month", "the last Friday in May"; without a year or a
  month ("on the 3rd"), the latest such day that is not in the future;
- months: "May 2023", "in May" (the latest that has begun), "last May" (the latest that is over),
  "in May last year", "in May 2 years ago", "mid-May";
- years: "in 2023", "the year 2023", "the 1990s", "Q3 2022", "Q1 and Q2 2023", "week 18 of 2023";
- "the first half of 2023", "the last week of May" and the like; other parts ("late May", "the end
  of 2023") are all of it;
- holidays of a fixed date: "last Christmas", "on New Year's Eve 2022";
- "yesterday", "last night", "the day before yesterday", "last Friday", "last weekend";
- "on Monday", "today", "this week" in a question in the past tense: "what did I do on Monday?";
- "last week", "last month", "last year"; "the week before last"; "Monday to Friday last week";
- "two days ago", "1 or 2 weeks ago", "half a year ago": that day, week, month or year; "about",
  "less than", "more than" so long ago;
- "over the last year", "the past 3 days": up to now;
- "ten minutes ago", "an hour and a half ago", "in the last two hours", beside no other time;
- "two days before 3 May", "in the three days before 3 May", "within two days of 3 May", "the Friday
  after 3 May";
- several: "in May and June 2025", "in 2020, 2021 and 2022", "from March to May", "between 3 and
  5 May";
- any of these after "since" or "after", "before", "until" or "by": open at one end. So are "since
  we met in 2020" and "after the party in May": what is meant may lie behind.

Several times are combined to the interval that contains them all. Ambiguous words alone are not
dates: not "may" and "march", not a bare "2023" or "June", and not 3/5/2023. Neither are "today",
"this week" and "on Monday" in another tense: such questions are as often about the future, which
was mentioned earlier. Seasons alone ("last summer"), movable feasts and quarters ("last quarter")
have different dates in different places, and "the 80s" are temperatures, too. "1984" is a title
where something is told of it in the present tense, and a time beside an event ("in May or the
wedding") names none. A weekday that is not that of the day it is said of ("Tuesday, March 4")
contradicts it. In a question about what is to come ("am I free in December?") a date without a year
is none.

The grammar is our own: dateparser and parsedatetime give points, not intervals, understand parts
("half a year ago" is "a year ago" to both), and read words such as "may" and "march" as dates.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime, time

from agentmem.retrieval.dates.calendar import DAY, Days, hull, shifted
from agentmem.retrieval.dates.guard import understood
from agentmem.retrieval.dates.holidays import STARTS
from agentmem.retrieval.dates.phrases import NotUnderstood, Phrase, Phrases
from agentmem.retrieval.dates.spelling import normalized, spelled_out
from agentmem.retrieval.dates.text import Text
from agentmem.retrieval.dates.tokens import Token, tokens
from agentmem.retrieval.dates.vocabulary import DECADES, MONTHS

_FIRST_YEAR = 1000


@dataclass(frozen=True, slots=True)
class Interval:
    """A time interval; None means open-ended.

    Attributes:
        since: Start, inclusive.
        until: End, exclusive.
        rest: The words of the query that do not name it.
        unbound: The query without the words that name a time only as seen from now, such as
            "yesterday": in another text they mean another day.
    """

    since: datetime | None
    until: datetime | None
    rest: str = field(default="", compare=False)
    unbound: str = field(default="", compare=False)

    @property
    def of_days(self) -> bool:
        """Whether it is one of whole days, and not of hours."""
        return all(end is None or end.time() == time() for end in (self.since, self.until))


def named_interval(query: str, now: datetime) -> Interval | None:
    """Find the time that a query names.

    Args:
        query: Any text.
        now: The current time, with a zone.

    Returns:
        An interval in the zone of ``now``, from midnight to midnight unless hours or minutes are
        named; None if no time is named, if one is not understood as a whole, or if the named times
        contradict each other.
    """
    text = Text(spelled_out(tokens(normalized(query))), now)
    try:
        found = Phrases(text).read_all()
        interval = _together(understood(text, found), now)
    except (NotUnderstood, ValueError, OverflowError):
        return None
    if interval is None:
        return None
    naming = {at for one in found for at in range(one.start, one.end)}
    rest = (token.text for at, token in enumerate(text.tokens) if at not in naming)
    relative = {
        at
        for one in found
        if not any(map(_is_fixed, text.tokens[one.start : one.end]))
        for at in range(one.start, one.end)
    }
    unbound = query
    if relative:
        kept = (token.shown for at, token in enumerate(text.tokens) if at not in relative)
        unbound = "".join(kept).strip()
    return replace(interval, rest=" ".join(rest), unbound=unbound)


def _is_fixed(token: Token) -> bool:
    """Whether a token names a time, or a part of one, that is the same in every text."""
    return (
        token.text in MONTHS
        or token.text in DECADES
        or token.text in STARTS
        or token.kind == "form"
        or (token.kind == "number" and token.value >= _FIRST_YEAR)
    )


def _together(phrases: list[Phrase], now: datetime) -> Interval | None:
    """The smallest interval that contains all named times, limited by the open-ended ones."""
    if any(time.clock for phrase in phrases for time in phrase.times):
        return _by_clock(phrases)
    year, phrases = _shared_year(phrases)
    if len({phrase.yearless for phrase in phrases}) > 1:
        return None  # "in May, and at home since June 2021": May of which year?
    today = now.date()
    closed: list[Days] = []
    unled: list[Phrase] = []
    starts: list[date] = []
    ends: list[date] = []
    for phrase in phrases:
        days = phrase.days(today, year if phrase.yearless else None)
        if days is None:
            return None
        first, end = _wide(phrase, days)
        if phrase.lead in ("since", "after"):
            starts.append(first if phrase.lead == "since" else end)
        elif phrase.lead:
            ends.append(first if phrase.lead == "before" else end)
        elif first == date.min:  # "more than a year ago"
            ends.append(end)
        else:
            closed.append((first, end))
            unled.append(phrase)
    if closed:
        first, end = hull(closed)
        named = [days for days, phrase in zip(closed, unled, strict=True) if phrase.whole_years]
        if named and hull(named) != (first, end):
            return None  # "in 2021, the week before 3 May"
        starts.append(first)
        ends.append(end)
    since, until = max(starts, default=None), min(ends, default=None)
    if (since is None and until is None) or (since and until and since >= until):
        return None
    return Interval(_midnight(since, now), _midnight(until, now))


def _by_clock(phrases: list[Phrase]) -> Interval | None:
    """Hours or minutes, if they are all that is named: "yesterday, two hours ago" is neither."""
    first = phrases[0]
    clock = first.times[0].clock
    if len(phrases) > 1 or len(first.times) > 1 or clock is None or first.around:
        return None
    if not first.lead:
        return Interval(*clock)
    since_then = first.lead == "since" and clock[0] is not None
    return Interval(clock[0], None) if since_then else None


def _shared_year(phrases: list[Phrase]) -> tuple[int | None, list[Phrase]]:
    """The year of months and days that have none of their own, and the phrases without it.

    "Last year, was it in May?" asks for May of last year. Where several years are named, it is not
    clear which is meant.

    Raises:
        NotUnderstood: Several are.
    """
    weak = [phrase for phrase in phrases if phrase.times[0].weak and len(phrase.times) == 1]
    rest = [phrase for phrase in phrases if phrase not in weak]
    years = [phrase for phrase in rest if phrase.whole_years]
    named = years + weak
    if not any(phrase.yearless for phrase in rest):
        return None, rest
    found = {
        time.days[0].year for phrase in named for time in phrase.times if time.days is not None
    }
    if len(found) > 1:
        raise NotUnderstood
    if not found:
        return None, rest
    if any(phrase.lead for phrase in rest):
        return found.pop(), rest
    return found.pop(), [phrase for phrase in rest if phrase not in years]


def _wide(phrase: Phrase, days: Days) -> Days:
    """Days of a phrase; "around 3 May" includes the three days before and after."""
    if not phrase.around:
        return days
    unit = phrase.times[0].unit
    if unit == "day":
        return days[0] - 3 * DAY, days[1] + 3 * DAY
    return shifted(days[0], unit, -1), shifted(days[1], unit, 1)


def _midnight(day: date | None, now: datetime) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), now.tzinfo)
