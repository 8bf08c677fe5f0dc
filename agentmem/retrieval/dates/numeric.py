"""Reads dates that are written in digits: "2023-05-03", "25/12/2023", "2023-W18", "the 1990s"."""

from __future__ import annotations

import re
from datetime import date, datetime

from agentmem.retrieval.dates.ago import ago
from agentmem.retrieval.dates.calendar import DAY, Time, month_of, one_day, years
from agentmem.retrieval.dates.counting import COUNTED, NO_PLURALS
from agentmem.retrieval.dates.months import days_of_month, year
from agentmem.retrieval.dates.short import is_short, short_date
from agentmem.retrieval.dates.text import Read, Text
from agentmem.retrieval.dates.vocabulary import (
    FUNCTION_WORDS,
    LISTED,
    MONTHS,
    PREPOSITIONS,
    RANGED,
)

_NO_YEARS = frozenset({"%", "$", "\u20ac", "\u00b0", "bc", "bce"})
_STREETS = frozenset(
    "street st avenue ave road rd drive dr lane ln boulevard blvd square way court place terrace "
    "highway row crescent broadway".split()
)
# "the class of 2010": its year is not when something happened. Neither is "what I think of 1917".
_NAMED_BY_YEAR = frozenset(
    "class generation cohort vintage edition copy think thought thinks thinking heard hear fan "
    "review ending plot version".split()
)
_DETERMINERS = frozenset("the a an my our your his her their this that".split())


def in_digits(text: Text, i: int, *, named: bool) -> Read | None:
    """A date in digits.

    Args:
        text: The query.
        i: The position of a token of the kind ``form``.
        named: Whether it follows a word such as "in", so that "2023-05" is a month.

    Raises:
        ValueError: There is no such day.
    """
    form = text.at(i).text.lower()
    if re.fullmatch(r"\d{4}-\d\d-\d\dt[\d:.]*(?:z|[+-][\d:]*)", form):
        # Midnights are those of the zone of now.
        instant = datetime.fromisoformat(form.upper()).astimezone(text.now.tzinfo)
        return Time("day", one_day(instant.date())), i + 1
    found = _whole_date(form) or _unclear(form) or (_span(form) if named else None)
    if found is None and is_short(text, i):
        return short_date(form, text.today), i + 1
    if isinstance(found, Time):
        return found, i + 1
    return (None, i + 1) if found else days_of_month(text, i, plain=named) or ago(text, i)


def _whole_date(form: str) -> Time | None:
    """A day, a week or a decade."""
    if match := re.fullmatch(r"(\d{4})([-/])(\d\d?)\2(\d\d?)(?:t.*)?", form):
        return Time("day", one_day(date(int(match[1]), int(match[3]), int(match[4]))))
    if (match := re.fullmatch(r"(\d\d?)-([a-z]+)-(\d{4})", form)) and match[2] in MONTHS:
        return Time("day", one_day(date(int(match[3]), MONTHS[match[2]], int(match[1]))))
    if match := re.fullmatch(r"(\d{4})-w(\d\d)", form):
        return _week(int(match[1]), int(match[2]))
    if (match := re.fullmatch(r"((?:19|20)\d0)s", form)) and match[1] != "1900":
        return Time("span", years(int(match[1]), int(match[1]) + 9))
    match = re.fullmatch(r"(\d\d?)([-/.])(\d\d?)\2(\d{4})", form)
    if match is None or _unclear(form):
        return None
    first, second = int(match[1]), int(match[3])
    if match[2] == "." or first > 12:
        first, second = second, first
    return Time("day", one_day(date(int(match[4]), first, second)))


def _unclear(form: str) -> bool:
    """Whether it may be one of two days or months: "3/5/2023", "2011-12"."""
    if match := re.fullmatch(r"(\d\d?)([-/])(\d\d?)\2\d{4}", form):
        return match[1] != match[3] and int(match[1]) <= 12 and int(match[3]) <= 12
    match = re.fullmatch(r"(\d{4})-(\d\d)", form)  # December 2011, or 2011 and 2012
    return match is not None and int(match[2]) == int(match[1]) % 100 + 1


def _span(form: str) -> Time | None:
    """A month, or several years."""
    if match := re.fullmatch(r"(\d\d?)/(\d{4})", form):
        return Time("month", month_of(int(match[2]), int(match[1])))
    if match := re.fullmatch(r"((?:19|20)\d\d)-(\d\d)", form):
        return Time("month", month_of(int(match[1]), int(match[2])))
    match = re.fullmatch(r"((?:19|20)\d\d)[-\u2013]((?:19|20)\d\d)", form)
    if match is None or match[1] >= match[2]:
        return None
    return Time("span", years(int(match[1]), int(match[2])))


def bare_year(text: Text, i: int) -> Read | None:
    """Read "2023", unless it counts something: "2000 meters"."""
    token, after = text.at(i), text.at(i + 1)
    if token.kind != "number" or len(token.text) != 4 or not 1900 <= token.value <= 2099:
        return None
    word = after.kind == "word" and after.written[0].islower()
    if word and after.text not in FUNCTION_WORDS | PREPOSITIONS | NO_PLURALS:
        if after.text in COUNTED or after.text.endswith("s") or token.value % 100 == 0:
            return None
    if after.text in _NO_YEARS or _is_attribute(text, i):
        return None
    return Time("year", years(token.value, token.value)), i + 1


def _is_attribute(text: Text, i: int) -> bool:
    """Whether a year belongs to a name: "the 2015 Bordeaux", "2023 Main Street"."""
    before, after = text.at(i - 1).text, text.at(i + 1)
    named = after.kind == "word" and after.text not in FUNCTION_WORDS | PREPOSITIONS
    if named and before in _DETERMINERS:
        return True
    if named and after.written[0].isupper():
        nearby = [text.at(k) for k in range(i + 1, i + 4)]
        if any(word.text in _STREETS and word.written[0].isupper() for word in nearby):
            return True
    if before == "of" and (
        text.at(i - 2).text in _NAMED_BY_YEAR
        or (named and after.written[0].islower() and not after.text.endswith("ly"))
    ):
        return True
    return after.text == "by" and text.at(i + 2).written[:1].isupper()


def quarter(text: Text, i: int) -> Read | None:
    """Read "Q3 2022", "H1 of 2022", "Q1 and Q2 2023", "Q1-Q3 2023"."""
    months: list[int] = []
    j = i
    while read := _months_of(text.at(j).text):
        months += read
        j += 1
        if text.at(j).text not in LISTED | RANGED or not _months_of(text.at(j + 1).text):
            break
        j += 1
    named = year(text, j)
    if not months or named is None:
        return None
    last = month_of(named[0], max(months))
    return Time("span", (date(named[0], min(months), 1), last[1])), named[1]


def _months_of(word: str) -> list[int]:
    """The first and the last month of "q3" or "h1"; none of another word."""
    match = re.fullmatch(r"q([1-4])|h([12])", word)
    if match is None:
        return []
    size = 3 if match[1] else 6
    last = size * int(match[1] or match[2])
    return [last - size + 1, last]


def numbered_week(text: Text, i: int) -> Read | None:
    """Read "week 18 of 2023", counted as ISO 8601 does.

    Raises:
        ValueError: The year has no such week.
    """
    number = text.at(i + 1)
    if not text.says(i, "week") or number.kind != "number" or number.value > 53:
        return None
    named = year(text, i + 2)
    return None if named is None else (_week(named[0], number.value), named[1])


def _week(in_year: int, number: int) -> Time:
    monday = date.fromisocalendar(in_year, number, 1)
    return Time("week", (monday, monday + 7 * DAY))
