"""Reads weekdays: "last Friday", "Monday to Friday last week", "Friday, 3 May"."""

from __future__ import annotations

from dataclasses import replace

from agentmem.retrieval.dates.ago import ago, before_last
from agentmem.retrieval.dates.calendar import DAY, Time, one_day, week_of
from agentmem.retrieval.dates.months import days_of_month, month
from agentmem.retrieval.dates.numeric import in_digits
from agentmem.retrieval.dates.text import Read, Text
from agentmem.retrieval.dates.unnamed import unnamed_days
from agentmem.retrieval.dates.vocabulary import (
    LISTED,
    MONTHS,
    PARTS_OF_DAY,
    PREPOSITIONS,
    RANGED,
    WEEKDAYS,
)

_MAX_LISTED = 7
_UNLUCKY = 13


def last_weekday(text: Text, i: int) -> Time:
    """The latest such weekday before today."""
    back = (text.today.weekday() - WEEKDAYS[text.at(i).text]) % 7 or 7
    return Time("day", one_day(text.today - back * DAY))


def weekday(text: Text, i: int) -> Read | None:
    """Read "Friday of last week", "Friday, 3 May", "the Friday before last"."""
    named = _of_week(text, i)
    if named is not None:
        return named
    number = WEEKDAYS[text.at(i).text]
    if text.says(i + 1, "before", "last"):
        if text.at(i + 3).text in WEEKDAYS | MONTHS:
            return None
        day = last_weekday(text, i).days
        return None if day is None else (Time("day", one_day(day[0] - 7 * DAY)), i + 3)
    j = _behind(text, i)
    token = text.at(j)
    found: Read | None = None
    if token.text in MONTHS:
        found = month(text, j, alone=False, plain=True)
    elif token.kind in ("number", "ordinal"):
        found = days_of_month(text, j, plain=True) or _day_behind(text, i, j)
    elif token.kind == "form":
        found = in_digits(text, j, named=False)
    if found is None or found[0] is None or found[0].unit != "day":
        return None
    days = found[0].days or found[0].latest(text.today)
    if days is None or days[0].weekday() != number:
        # Not the latest such day, but a coming one, one long ago, or a mistake.
        return None, found[1]
    return replace(found[0], days=days), found[1]


def _day_behind(text: Text, i: int, j: int) -> Read | None:
    """Read the day of "Thursday the 12th"; "Friday the 13th" alone is a film."""
    unlucky = text.says(i, "friday") and text.at(j).value == _UNLUCKY
    return None if unlucky and not text.says(i - 1, "on") else unnamed_days(text, j, led=True)


def _behind(text: Text, i: int) -> int:
    """The position behind a weekday and the small words that follow it."""
    j = i + 1
    while text.at(j).text in (",", "of", "the") and j < i + 3:
        j += 1
    return j


def _of_week(text: Text, i: int) -> Read | None:
    """Read "Monday to Friday last week", "Friday of the week before last"."""
    listed = listed_weekdays(text, i)
    if listed is None:
        return None
    first, last, j = listed
    j = _behind(text, j - 1)
    j += text.at(j).text == "in"
    j += text.at(j).text == "the"
    if text.is_last(j) and text.says(j + 1, "week") and not text.says(j + 2, "of"):
        return _days(Time("week", week_of(text.today - 7 * DAY)), first, last), j + 2
    found = before_last(text, j)
    if found is None and j > listed[2]:
        found = ago(text, j)  # not "Friday a week ago", which is a week before Friday
    if found is None or found[0] is None or found[0].unit != "week":
        return None
    return _days(found[0], first, last), found[1]


def in_week(text: Text, week: Time, i: int) -> Read:
    """Read "(last week) on Friday", "(last week) from Monday to Friday"."""
    j = i + (text.at(i).text == ",")
    j += text.at(j).text in ("on", "from", "between")
    listed = listed_weekdays(text, j)
    if week.days is None or listed is None:
        return week, i
    return _days(week, listed[0], listed[1]), listed[2]


def listed_weekdays(text: Text, i: int) -> tuple[int, int, int] | None:
    """Weekdays: the first and the last of them, and the position behind."""
    found: list[int] = []
    j = k = i
    while text.at(k).text in WEEKDAYS and len(found) < _MAX_LISTED:
        found.append(WEEKDAYS[text.at(k).text])
        j = k + 1
        j += text.at(j).text in PARTS_OF_DAY
        k = j
        for _ in range(3):  # "Monday, and on Tuesday"
            k += text.at(k).text in LISTED | RANGED | (PREPOSITIONS & {"on"})
        if k == j:
            break
    return (min(found), max(found), j) if found and found == sorted(found) else None


def _days(week: Time, first: int, last: int) -> Time:
    assert week.days is not None
    monday = week.days[0]
    days = monday + first * DAY, monday + (last + 1) * DAY
    return Time("day" if first == last else "span", days)
