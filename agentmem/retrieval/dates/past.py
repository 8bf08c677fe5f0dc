"""Reads what is counted from now: "last week", "the past 3 days", "yesterday", "this year"."""

from __future__ import annotations

from datetime import timedelta

from agentmem.retrieval.dates.ago import sized, smaller
from agentmem.retrieval.dates.calendar import DAY, Days, Time, calendar_unit, one_day, shifted
from agentmem.retrieval.dates.clock import last_hours
from agentmem.retrieval.dates.holidays import holiday
from agentmem.retrieval.dates.months import days_of_month, month
from agentmem.retrieval.dates.text import Read, Text
from agentmem.retrieval.dates.vocabulary import CLOCK_UNITS, MONTHS, UNITS, WEEKDAYS
from agentmem.retrieval.dates.weekdays import in_week, last_weekday

_THE = frozenset({"the", "this", "these"})
_ROLLING_AFTER = frozenset({"in", "during", "over", "within", "for", "throughout"})


def yesterday(text: Text, i: int) -> Read:
    """Read "yesterday", "yesterday or the day before"."""
    day = text.today - DAY
    joined = text.at(i + 1).text in ("and", "or")
    if joined and text.says(i + 2, "the", "day", "before"):
        if text.at(i + 5).text not in {"yesterday", *MONTHS}:
            return Time("span", (day - DAY, day + DAY)), i + 5
    return Time("day", one_day(day)), i + 1


def last(text: Text, i: int, prefix: str) -> Read | None:
    """Read "last week", "the past 3 days", "the last two hours", "last Friday", "last May".

    Args:
        text: The query.
        i: The position of "last" or the like.
        prefix: The preposition before it; "" if there is none.
    """
    return _hours(text, i, prefix) or _days_or_more(text, i, prefix)


def _hours(text: Text, i: int, prefix: str) -> Read | None:
    led = text.at(i - 1).text in _THE or prefix in _ROLLING_AFTER
    if text.at(i).text == "previous" or (text.at(i + 1).text in CLOCK_UNITS and not led):
        return None  # "last hour"
    return last_hours(text, i + 1)


def _days_or_more(text: Text, i: int, prefix: str) -> Read | None:
    word, next = text.at(i).text, text.at(i + 1).text
    specific = text.at(i - 1).text in _THE
    counted = text.count(i + 1)
    if next in MONTHS and word != "previous":
        return month(text, i + 1, alone=True, plain=True, past=True)
    if counted is not None:
        return None if word == "previous" else _counted(text, i + 1, *counted)
    if text.says(i + 2, "of"):
        return None
    feast = holiday(text, i + 1, bound=True, past=True)
    if feast is not None:
        return feast
    if next == "night":
        return Time("day", one_day(text.today - DAY)), i + 2
    if next == "weekend":
        monday = text.today - text.today.weekday() * DAY
        return Time("span", (monday - 2 * DAY, monday)), i + 2
    if next in WEEKDAYS:
        return last_weekday(text, i + 1), i + 2
    if next not in UNITS or next.endswith("s"):
        return None
    if (word == "past" or specific) and word != "previous":
        if not specific and prefix not in _ROLLING_AFTER:
            return None
        return Time("rolling", _rolling(text, next, 1)), i + 2
    if next not in ("week", "month", "year") or text.at(i - 1).text in ("over", "within"):
        return None  # "over last year": that year, or the twelve months to now
    time = Time(next, calendar_unit(next, shifted(text.today, next, -1)))
    return in_week(text, time, i + 2) if next == "week" else (time, i + 2)


def _counted(text: Text, i: int, count: float, j: int) -> Read | None:
    """Read "(the last) 3 days", "(last) 3 May"."""
    unit = text.at(j).text
    if text.says(j + 1, "of"):
        return None
    if unit in ("hour", "hours"):
        since = (text.now - timedelta(hours=count)).date()
        return Time("rolling", (since, text.today + DAY)), j + 1
    if unit in UNITS:
        return Time("rolling", _rolling(text, unit, count)), j + 1
    return days_of_month(text, i, plain=True, past=True)


def _rolling(text: Text, unit: str, count: float) -> Days:
    name, size = sized(unit, count)
    return shifted(text.today, *smaller(name, -size)), text.today + DAY


def this(text: Text, i: int) -> Read | None:
    """Read "earlier this week", "this year so far"; "this year" counts only with a month."""
    if text.says(i, "earlier", "today"):
        return Time("day", one_day(text.today)), i + 2
    j = i + (1 if text.says(i, "earlier") else 2 if text.says(i, "so", "far") else 0)
    unit = text.at(j + 1).text
    if not text.says(j, "this") or unit not in ("week", "month", "year"):
        return None
    end = j + 2
    started = j > i
    if text.says(end, "so", "far"):
        started, end = True, end + 2
    days = calendar_unit(unit, text.today)
    if started:
        return Time("span", (days[0], text.today + DAY)), end
    return (Time("year", days, weak=True), end) if unit == "year" else (None, end)
