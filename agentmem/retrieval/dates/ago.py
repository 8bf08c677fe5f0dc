"""Reads how long ago: "two days ago", "half a year ago", "the week before last"."""

from __future__ import annotations

from datetime import date

from agentmem.retrieval.dates.amounts import is_fraction, qualifier
from agentmem.retrieval.dates.calendar import (
    DAY,
    Days,
    Time,
    calendar_unit,
    hull,
    one_day,
    shifted,
    years,
)
from agentmem.retrieval.dates.clock import clock_ago
from agentmem.retrieval.dates.text import Read, Text
from agentmem.retrieval.dates.vocabulary import (
    FEASTS,
    MONTHS,
    OTHER_UNITS,
    UNITS,
    WEEKDAYS,
)

# "The week before last Friday" is counted from a Friday.
_LAST_WHAT = UNITS.keys() | MONTHS.keys() | WEEKDAYS.keys() | OTHER_UNITS | FEASTS
# A unit, with the least and the greatest count of it.
_Step = tuple[str, float, float]


def ago(text: Text, i: int) -> Read | None:
    """Read "two days ago", "1 or 2 weeks ago", "half a year ago", "less than an hour ago"."""
    return clock_ago(text, i) or _days_or_more_ago(text, i)


def _days_or_more_ago(text: Text, i: int) -> Read | None:
    kind, j = qualifier(text, i)
    counted = text.counts(j)
    if counted is None:
        return None
    low, high, j = counted
    unit = _unit(text, j)
    if unit not in UNITS and unit not in ("second", "seconds"):
        return None
    j += 1
    steps = [(unit, low, high)]
    if text.says(j, "and", "a", "half"):
        steps, j = [(unit, low + 0.5, high + 0.5)], j + 3
    elif text.says(j, "or", "two"):
        steps, j = [(unit, low, max(2, high))], j + 2
    elif text.says(j, "or", "so"):
        kind, j = "about", j + 2
    else:
        k = j + (text.at(j).text in ("and", ","))
        more = text.counts(k)
        if more is not None and text.at(more[2]).text in UNITS:
            steps.append((text.at(more[2]).text, more[0], more[1]))
            j = more[2] + 1
    if text.says(j, "or", "so"):
        kind, j = "about", j + 2
    if not text.says(j, "ago"):
        return None
    j += 1
    if any(name not in UNITS for name, *_ in steps) or _is_other_day(text, i, j):
        return None, j  # seconds; or another day
    try:
        days = _days_ago(text.today, steps, kind)
    except (ValueError, OverflowError):
        return None, j
    if text.says(j, "today") and len(steps) == 1 and low == high and not kind:
        return Time("day", one_day(_back(text.today, steps, 0))), j + 1
    name = smaller(*sized(steps[-1][0], steps[-1][1]))[0]
    return Time(name if not kind and low == high else "span", days), j


def before_last(text: Text, i: int) -> Read | None:
    """Read "week before last", "night before last"."""
    if not text.says(i + 1, "before", "last") or text.at(i + 3).text in _LAST_WHAT:
        return None
    named, j, today = text.at(i).text, i + 3, text.today
    if named == "night":
        return Time("day", one_day(today - 2 * DAY)), j
    if named == "weekend":
        monday = today - today.weekday() * DAY
        return Time("span", (monday - 9 * DAY, monday - 7 * DAY)), j
    if named not in ("week", "month", "year"):
        return None
    return Time(named, calendar_unit(named, shifted(today, named, -2))), j


def relative_year(text: Text, i: int) -> tuple[Time, int] | None:
    """Read a year counted from the current one: "last year", "two years ago"."""
    this = text.today.year
    if text.is_last(i) and text.says(i + 1, "year") and not text.says(i + 2, "of"):
        return Time("year", years(this - 1, this - 1)), i + 2
    if text.says(i, "this", "year"):
        return Time("year", years(this, this)), i + 2
    found = ago(text, i) or before_last(text, i)
    if found is None or found[0] is None or found[0].unit != "year":
        return None
    return found[0], found[1]


def sized(unit: str, count: float) -> tuple[str, float]:
    """A count of units as a count of those that the calendar knows."""
    name, size = UNITS[unit]
    return name, count * size


def smaller(unit: str, count: float) -> tuple[str, float]:
    """Half a year as six months; others as they are."""
    if unit == "year" and count != int(count):
        return "month", count * 12
    return unit, count


def _is_other_day(text: Text, i: int, j: int) -> bool:
    """Whether it is some time in between: "(a third of) a year ago", "a week ago (Friday)"."""
    if text.at(j).text in WEEKDAYS:
        return True  # a day of either week
    return is_fraction(text, i)


def _unit(text: Text, i: int) -> str:
    unit = text.at(i).text
    return "days" if unit in ("night", "nights") else unit


def _days_ago(today: date, steps: list[_Step], kind: str) -> Days:
    tomorrow = today + DAY
    near, far = _back(today, steps, 0), _back(today, steps, 1)
    if kind == "less":
        return far, tomorrow
    if kind == "more":
        return date.min, near + DAY
    unit = smaller(*sized(steps[-1][0], steps[-1][1]))[0]
    days = hull([calendar_unit(unit, far), calendar_unit(unit, near)])
    if kind == "about":
        wide = shifted(far, unit, -1), min(shifted(near, unit, 1) + DAY, tomorrow)
        days = hull([days, wide])
    return days[0], (min(days[1], tomorrow) if kind else days[1])


def _back(today: date, steps: list[_Step], which: int) -> date:
    day = today
    for unit, *counts in steps:
        name, size = sized(unit, counts[which])
        day = shifted(day, *smaller(name, -size))
    return day
