"""Reads times of the clock: "ten minutes ago", "an hour and a half ago", "in the last two hours".

What is said so is rounded, and the more the longer ago it is: "an hour ago" is from half an hour to
an hour and a half ago, "ten minutes ago" from seven to thirteen, nearly. "A minute ago" and seconds
only mean "just now".
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from agentmem.retrieval.dates.amounts import is_fraction, qualifier
from agentmem.retrieval.dates.calendar import DAY, Clock, Time
from agentmem.retrieval.dates.text import Read, Text
from agentmem.retrieval.dates.vocabulary import CLOCK_UNITS

_HOUR = 3_600
# What a number of seconds is a multiple of is what it is rounded to.
_ROUND = (_HOUR, 300, 60)
# Of a longer time, at most this part is lost or added.
_PART = 3
_JUST_NOW = (("a", "minute"), ("one", "minute"), ("1", "minute"), ("a", "min"))


def clock_ago(text: Text, i: int) -> Read | None:
    """Read "ten minutes ago", "an hour and a half ago", "less than 2 hours ago"."""
    kind, start = qualifier(text, i)
    counted = text.counts(start)
    if counted is None or text.at(counted[2]).text not in CLOCK_UNITS:
        return None
    low, high, j = counted
    size = CLOCK_UNITS[text.at(j).text]
    least, most = low * size, high * size
    j += 1
    if text.says(j, "and", "a", "half"):
        least, most, j = least + size / 2, most + size / 2, j + 3
    elif text.says(j, "or", "two"):
        most, j = max(2 * size, most), j + 2
    else:
        added, j = _smaller(text, j, size)
        least, most = least + added, most + added
    if text.says(j, "or", "so"):
        kind, j = "about", j + 2
    if not text.says(j, "ago"):
        return None
    just_now = any(text.says(start, *words) for words in _JUST_NOW)
    if is_fraction(text, i) or most < CLOCK_UNITS["minute"] or (just_now and most == least):
        return None, j + 1
    return _time(text, "clock", _ago(text.now, least, most, kind)), j + 1


def last_hours(text: Text, i: int) -> Read | None:
    """Read "(the last) two hours", "(the past) hour", "(the last) half hour".

    Args:
        text: The query.
        i: The position behind "last" or the like.
    """
    counted = (0.5, i + 1) if text.says(i, "half", "hour") else text.count(i)
    if counted is None and text.at(i).text in ("hour", "hr"):
        counted = 1, i
    if counted is None or text.at(counted[1]).text not in CLOCK_UNITS:
        return None
    count, j = counted
    seconds = count * CLOCK_UNITS[text.at(j).text]
    if text.says(j + 1, "of") or seconds >= 24 * _HOUR:
        return None
    return _time(text, "rolling", (_before(text.now, seconds), text.now)), j + 1


def _smaller(text: Text, j: int, size: int) -> tuple[float, int]:
    """The seconds of "(an hour) and 20 minutes", and the position behind them."""
    more = text.counts(j + (text.at(j).text in ("and", ",")))
    if more is None:
        return 0, j
    low, high, k = more
    added = CLOCK_UNITS.get(text.at(k).text, size)
    return (low * added, k + 1) if added < size and low == high else (0, j)


def _ago(now: datetime, least: float, most: float, kind: str) -> Clock:
    if kind == "less":
        return _before(now, most), now
    if kind == "more":
        return None, _before(now, least)
    wide = 2 if kind == "about" else 1
    near = max(0.0, least - wide * _slack(least))
    return _before(now, most + wide * _slack(most)), _before(now, near)


def _slack(seconds: float) -> float:
    unit = next((unit for unit in _ROUND if seconds % unit == 0), _ROUND[-1])
    return max(unit / 2, seconds / _PART)


def _before(now: datetime, seconds: float) -> datetime:
    # In a zone whose clocks are changed, Python would count by the clock.
    return (now.astimezone(UTC) - timedelta(seconds=seconds)).astimezone(now.tzinfo)


def _time(text: Text, unit: str, clock: Clock) -> Time:
    since, until = clock
    first = text.today if since is None else since.date()
    return Time(unit, (first, (until or text.now).date() + DAY), clock=clock)
