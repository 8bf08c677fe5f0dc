"""Reads parts of times: "the end of May", "mid-May", "summer 2022"."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from agentmem.retrieval.dates.calendar import DAY, Time, calendar_unit, hull, shifted, week_of
from agentmem.retrieval.dates.text import Text
from agentmem.retrieval.dates.vocabulary import SEASONS, UNITS, WEEKDAYS

_PARTS = frozenset({"early", "mid", "late"})
_STARTS = frozenset({"beginning", "start"})
_SHARES = SEASONS | frozenset(
    "end middle rest half quarter third part month year weekend weekends morning afternoon evening "
    "night all most whole days weeks months".split()
)
POSITIONS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1, "final": -1}
_WHOLE = frozenset({"week", "month", "year"})


def part(text: Text, i: int) -> tuple[str, int] | None:
    """The name of a part, and the position of what it is a part of."""
    word = text.at(i).text
    if word in _PARTS:
        return ("part", i + 1)
    if word in SEASONS and not text.says(i + 1, "of"):
        return (word, i + 1) if text.at(i + 1).kind == "number" else None
    if word in POSITIONS or text.at(i).kind == "ordinal":
        # "the first two weeks of"
        counted = text.count(i + 1)
        j = counted[1] if counted else i + 1
        shared = text.at(j).text in _SHARES | UNITS.keys() | WEEKDAYS.keys()
        # "the last week in May", but not "last year in May"
        joins = ("of", "in") if word != "last" or text.says(i - 1, "the") else ("of",)
        return ("part", j + 2) if shared and text.at(j + 1).text in joins else None
    if not text.says(i + 1, "of"):
        return None
    if word in _STARTS:
        return "start", i + 2
    if word in _WHOLE or word in ("end", "winter", "weekend"):
        return word, i + 2
    return ("part", i + 2) if word in _SHARES else None


def with_part(time: Time, name: str, today: date) -> Time | None:
    """A time of which a part is meant; None if that is not clear.

    Args:
        time: The whole time.
        name: The name of the part, as `part` returns it, or "".
        today: The current day.
    """
    if name not in ("", "part") and time.unit == "rolling":
        return None  # "the end of the last two weeks"
    if name in _WHOLE or name == "weekend":
        if time.unit == name or (name == "month" and time.unit == "month"):
            return time
        days = time.days or time.latest(today)
        if days is None or time.part == "feast" or time.unit not in ("day", "span"):
            return None
        if name == "weekend":
            if time.unit != "day":
                return None
            monday, after = week_of(days[0])
            # The weekend of a Monday is as often the one before.
            saturday = monday + 5 * DAY if days[0].weekday() >= 5 else monday - 2 * DAY
            return Time("span", (saturday, after))
        first, last = calendar_unit(name, days[0]), calendar_unit(name, days[1] - DAY)
        return Time(name if first == last else "span", hull([first, last]))
    if name == "winter" and time.days is not None:
        time = replace(time, days=(time.days[0], shifted(time.days[1], "month", 3)))
    return replace(time, part=name) if name else time
