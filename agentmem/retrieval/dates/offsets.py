"""Reads times counted from another one: "the day after 3 May", "within two days of last Friday"."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from agentmem.retrieval.dates.ago import before_last, sized, smaller
from agentmem.retrieval.dates.calendar import DAY, Days, Time, calendar_unit, shifted
from agentmem.retrieval.dates.text import Read, Text
from agentmem.retrieval.dates.vocabulary import PARTS_OF_DAY, UNITS, WEEKDAYS

# Before "two days before 3 May", these mean all of the two days.
_LASTING = frozenset({"for", "during", "throughout", "within"})


def offset(text: Text, i: int, prefix: str, anchor: Callable[[int], Read | None]) -> Read | None:
    """Read "the week before last", "two days before yesterday", "the Friday after 3 May".

    Args:
        text: The query.
        i: A position.
        prefix: The preposition before it; "" if there is none.
        anchor: Reads the time at a position from which is counted.
    """
    counted = text.count(i)
    if counted is None and (found := before_last(text, i)) is not None:
        return found
    j = i if counted is None else counted[1]
    unit, relation = text.at(j).text, text.at(j + 1).text
    j += 2
    if relation == "prior" and text.says(j, "to"):
        relation, j = "before", j + 1
    around = prefix == "within" and counted is not None and relation == "of"
    if relation not in ("before", "after") and not around:
        return None
    one_of = unit in WEEKDAYS or unit in PARTS_OF_DAY or unit == "weekend"
    plural = unit.endswith("s") and counted is None
    if (unit not in UNITS or plural) and not (one_of and counted is None):
        return None
    found = anchor(j)
    if found is None or found[0] is None:
        return found
    days = _anchored(found[0], text.today)
    if days is None:
        return None, found[1]
    if counted is None:
        return _beside(unit, relation, days), found[1]
    step = smaller(*sized(unit, counted[0]))
    if around:
        return Time("span", (_back(days, step)[0], _on(days, step)[1])), found[1]
    if text.at(i - 1).text in ("the", "these") or prefix in _LASTING:
        return Time("span", _back(days, step) if relation == "before" else _on(days, step)), found[
            1
        ]
    if prefix in ("in", "over"):
        return None, found[1]
    return _so_far(step, relation, days), found[1]


def _anchored(time: Time, today: date) -> Days | None:
    """The days from which is counted; None if that is not clear."""
    if time.unit in ("rolling", "clock") or time.part not in ("", "feast"):
        return None  # "the end of May"
    if time.part == "feast" and time.unit != "day":
        return None
    days = time.days or time.latest(today)
    return None if days is None or days[0] == date.min else days


def _back(days: Days, step: tuple[str, float]) -> Days:
    """The units up to a time."""
    return shifted(days[0], step[0], -step[1]), days[0]


def _on(days: Days, step: tuple[str, float]) -> Days:
    """The units from the end of a time."""
    return days[1], shifted(days[1], step[0], step[1])


def _beside(unit: str, relation: str, days: Days) -> Time:
    """The unit next to a time: "the week before 3 May", "the Friday after"."""
    if unit in WEEKDAYS or unit == "weekend":
        length = 2 if unit == "weekend" else 1
        nearest = days[0] - length * DAY if relation == "before" else days[1]
        way = (nearest.weekday() - WEEKDAYS.get(unit, 5)) % 7
        day = nearest - way * DAY if relation == "before" else nearest + (-way % 7) * DAY
        return Time("day" if length == 1 else "span", (day, day + length * DAY))
    name, size = sized("day" if unit in PARTS_OF_DAY else unit, 1)
    if unit in ("evening", "night", "afternoon") and relation == "after":
        return Time("span", (days[0], days[1] + DAY))  # "the night after 3 May" may be that day's
    return Time(
        name, _back(days, (name, size)) if relation == "before" else _on(days, (name, size))
    )


def _so_far(step: tuple[str, float], relation: str, days: Days) -> Time:
    """The day, week, month or year that is so far from a time: "two weeks before 3 May"."""
    unit, size = step
    if relation == "before":
        day = shifted(days[0], unit, -size)
    else:
        day = shifted(days[1] - DAY, unit, size)
    return Time(unit, calendar_unit(unit, day))
