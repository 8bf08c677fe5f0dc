"""Reads numbered shares: "the first half of 2024", "the last week of May", "the 2nd Friday in May".

Only what a calendar tells: of months halves, weeks and days, of years halves, quarters, thirds,
months, weeks and days. A week may begin on any day, so three days before and behind it count, too.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass, replace
from datetime import date

from agentmem.retrieval.dates.calendar import DAY, Days, Time, shifted
from agentmem.retrieval.dates.parts import POSITIONS
from agentmem.retrieval.dates.text import Text
from agentmem.retrieval.dates.vocabulary import WEEKDAYS

_MONTHS = {"half": 6, "third": 4, "quarter": 3, "month": 1}
_DAYS = {"week": 7, "day": 1}
_AROUND_WEEK = 3
_FEBRUARY = 2


@dataclass(frozen=True, slots=True)
class Share:
    """A numbered share of a time.

    Attributes:
        number: Which one; -1 is the last.
        unit: ``half``, ``third``, ``quarter``, ``month``, ``week`` or ``day``.
        count: How many of them.
        weekday: Which day of the week it is, if it is one.
    """

    number: int
    unit: str
    count: int = 1
    weekday: int | None = None


def numbered_share(text: Text, i: int) -> tuple[Share, int] | None:
    """Read "first half of", "last two weeks of", and the position of what it is a share of."""
    token = text.at(i)
    number = POSITIONS.get(token.text, token.value if token.kind == "ordinal" else 0)
    count, j = text.count(i + 1) or (0, i + 1)
    named, joint = text.at(j).text, text.at(j + 1).text
    if not number or joint not in ("of", "in"):
        return None
    if named in WEEKDAYS and not count:
        return (Share(number, "day", weekday=WEEKDAYS[named]), j + 2) if -1 <= number <= 5 else None
    unit = named.removesuffix("s") if count else named
    if unit not in _MONTHS | _DAYS or count != int(count):
        return None
    if joint == "in" and token.text == "last" and not text.says(i - 1, "the"):
        return None  # "last month in May"
    return Share(number, unit, int(count) or 1), j + 2


def narrowed(time: Time, share: Share | None, name: str) -> tuple[Time | None, str]:
    """A share of a time, or all of it with the name of a part where the calendar tells no share.

    Args:
        time: The whole time.
        share: What of it is meant; None: all of it, or what the name says.
        name: The part of it that was named beside, or "".

    Raises:
        ValueError: The month has no fifth such weekday.
    """
    if share is None:
        return time, name
    if share.weekday is not None:
        return _weekday(time, (share.number, share.weekday)), name
    cut = _share(time, share)
    return (time, name or "part") if cut is None else (cut, "")


def _weekday(time: Time, nth: tuple[int, int]) -> Time | None:
    if time.unit != "month":
        return None
    if time.days is None:
        return replace(time, unit="day", nth=nth)
    found = Time("day", None, time.days[0].month, nth=nth)
    return replace(found, days=found.in_year(time.days[0].year))


def _share(time: Time, share: Share) -> Time | None:
    unit = "day" if (share.unit, share.count) == ("day", 1) else "span"
    if time.unit == "month" and time.days is None and time.first is None:
        # Of a year that is not known yet. The end of February depends on it.
        if share.number < 0 and time.month == _FEBRUARY:
            return None
        month = date(2024, time.month, 1)
        cut = _cut((month, month + monthrange(2024, time.month)[1] * DAY), "month", share)
        if cut is None:
            return None
        return replace(time, unit=unit, first=cut[0].day, last=(cut[1] - DAY).day)
    if time.days is None or time.unit not in ("month", "year") or time.part:
        return None
    cut = _cut(time.days, time.unit, share)
    return None if cut is None else Time(unit, cut)


def _cut(days: Days, whole: str, share: Share) -> Days | None:
    number, count, unit = share.number, share.count, share.unit
    first, after = days
    if whole == "month" and unit == "half":
        middle = first + 15 * DAY
        return {1: (first, middle), 2: (middle, after), -1: (middle, after)}.get(number)
    if unit in _MONTHS:
        if whole == "month":
            return None
        length = _MONTHS[unit] * count
        begin = shifted(after, "month", -length) if number < 0 else None
        begin = begin or shifted(first, "month", _MONTHS[unit] * (number - 1))
        end = shifted(begin, "month", length)
    else:
        length = _DAYS[unit] * count
        around = _AROUND_WEEK if unit == "week" else 0
        begin = after - length * DAY if number < 0 else first + _DAYS[unit] * (number - 1) * DAY
        begin, end = begin - around * DAY, begin + (length + around) * DAY
    begin, end = max(begin, first), min(end, after)
    return (begin, end) if begin < end else None
