"""Reads dates that are written in digits: "2023-05-03", "25/12/2023", "2023-W18", "the 1990s"."""

from __future__ import annotations

import re
from datetime import date

from agentmem.retrieval.dates.ago import ago
from agentmem.retrieval.dates.calendar import DAY, Time, month_of, one_day, years
from agentmem.retrieval.dates.months import days_of_month, year
from agentmem.retrieval.dates.text import Read, Text
from agentmem.retrieval.dates.vocabulary import FUNCTION_WORDS, MONTHS, PREPOSITIONS

# "in 2000 meters": what is counted, where a plural does not show it.
_COUNTED = frozenset(
    "people persons men women children feet km m cm mm kg g mg lb lbs oz ml rpm mph kmh percent "
    "euro usd eur gbp dollar hz mhz mb gb kb ft yd different or more".split()
)
_NO_YEARS = frozenset({"%", "$", "\u20ac", "\u00b0", "bc", "bce"})
# Words in "s" that are no plurals.
_NO_PLURALS = frozenset(
    "was is does has as us this his its yes always sometimes perhaps besides towards overseas "
    "afterwards across versus vs plus thus less unless already whereas regards".split()
)


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
    found = _whole_date(form) or _unclear(form) or (_span(form) if named else None)
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
    if word and after.text not in FUNCTION_WORDS | PREPOSITIONS | _NO_PLURALS:
        if after.text in _COUNTED or after.text.endswith("s") or token.value % 100 == 0:
            return None
    if after.text in _NO_YEARS:
        return None
    return Time("year", years(token.value, token.value)), i + 1


def quarter(text: Text, i: int) -> Read | None:
    """Read "Q3 2022", "H1 of 2022"."""
    match = re.fullmatch(r"q([1-4])|h([12])", text.at(i).text)
    named = year(text, i + 1)
    if match is None or named is None:
        return None
    size = 3 if match[1] else 6
    first = 1 + size * (int(match[1] or match[2]) - 1)
    last = month_of(named[0], first + size - 1)
    return Time("span", (date(named[0], first, 1), last[1])), named[1]


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
