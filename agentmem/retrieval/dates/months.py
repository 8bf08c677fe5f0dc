"""Reads dates that name their month: "3 May 2023", "May 3-5", "May of last year"."""

from __future__ import annotations

import re
from dataclasses import replace

from agentmem.retrieval.dates.ago import relative_year
from agentmem.retrieval.dates.calendar import Time, month_of, shifted
from agentmem.retrieval.dates.counting import counts, is_amount
from agentmem.retrieval.dates.text import Read, Text
from agentmem.retrieval.dates.tokens import END
from agentmem.retrieval.dates.vocabulary import (
    AMBIGUOUS,
    FUNCTION_WORDS,
    LISTED,
    MONTHS,
    PREPOSITIONS,
    RANGED,
)

_MAX_LISTED = 8
# "I believe in June": a person.
_TRUST = frozenset(
    "believe believes believed confide confides confided trust trusts trusted faith interest "
    "interested".split()
)
# "in May 24" is May of 2024, or a mistake.
_WHOLE_MONTH = frozenset("in during throughout early mid late".split())
# "the sister in June": of somebody's novel, or one who is called so.
_PEOPLE = frozenset(
    "sister brother mother father girl boy woman man daughter son wife husband friend aunt uncle "
    "cousin person character heroine hero actress actor protagonist".split()
)
_PARTS = frozenset("end start beginning middle course rest half".split())
# Behind these, "march" is a verb or a protest.
_NO_MONTH = frozenset("a an the to my our your his her their this that".split())


def month(text: Text, i: int, *, alone: bool, plain: bool, past: bool = False) -> Read | None:
    """Read "May 3rd, 2023", "May 3-5", "May 2023"; "May" if it may stand alone.

    Args:
        text: The query.
        i: The position of the month.
        alone: Whether the month is a time without a day and a year.
        plain: Whether "may 3" is a day and not a verb.
        past: Whether it must be over.
    """
    token = text.at(i)
    number, j = MONTHS[token.text], i + 1
    if text.at(j).text == "." and not text.at(j).spaced and len(token.text) <= 4:
        j += 1
    named = year(text, j)
    apart = text.says(j, "in") and not (alone or plain)
    if named is not None:  # but not "the march in 2022", "with April in 2022"
        return None if apart else (Time("month", month_of(named[0], number)), named[1])
    whole = Time("month", None, number, past=past)
    suffixed, end = with_year(text, whole, j)
    if _is_other_word(text, i, alone or plain or past) and end > j:
        return None  # "a march 10 years ago", "did I meet Jan 2 years ago"
    if suffixed.days is not None:
        return suffixed, end  # "May 2 years ago"
    days = day_list(text, j)
    if days is not None:
        first, last, nth, end = days
        if first == last and not nth and _is_whole(text, i):
            if not counts(text, end) and year(text, end) is None:
                raise ValueError("it may be a day or a short year: in May 24")
        time = Time("day" if first == last else "span", None, number, first, last, past)
        dated = with_year(text, time, end)
        verb = token.written in AMBIGUOUS and not (plain or nth or past)
        # "I may 3 ...": it is a date only at the end of a clause; "in May 20 people came".
        counting = text.at(i - 1).text == "in" and not nth and counts(text, end)
        if dated[0].days is None and not nth and is_amount(text, end):
            counting, verb = True, True  # "did I see May 3 times"
        if dated[0].days is not None or (not verb and not counting) or text.ends_clause(end):
            return dated
    if past or (alone and not _is_name(text, i, j)):
        return whole, j
    return None


def _is_name(text: Text, i: int, j: int) -> bool:
    """Whether a month that stands alone is more likely somebody's or a place's name."""
    token, after = text.at(i), text.at(j)
    if token.possessive or text.at(i - 2).text in _TRUST:
        return True  # "in June's car"
    if text.at(i - 1).text == "in" and text.at(i - 2).text in _PEOPLE and text.says(i - 3, "the"):
        return True
    if after.kind != "word" or after.text in FUNCTION_WORDS | PREPOSITIONS:
        return False
    if token.written == "august":
        return True  # "in august company"
    return j == i + 1 and after.written[0].isupper()  # "in Mar Vista"


def _is_whole(text: Text, i: int) -> bool:
    """Whether what stands before a month is said of all of it: "in", "the end of"."""
    part = text.at(i - 1).text == "of" and text.at(i - 2).text in _PARTS
    return part or text.at(i - 1).text in _WHOLE_MONTH


def _is_other_word(text: Text, i: int, timed: bool) -> bool:
    """Whether a month before "2 years ago" is a name, or a march, and not when it was."""
    token, before = text.at(i), text.at(i - 1)
    if token.written in AMBIGUOUS and before.text in _NO_MONTH:
        return True
    return not timed and before.kind == "word"


def _is_second(text: Text, i: int, k: int) -> bool:
    """Whether "march" or "may" behind an ordinal is a noun: "the second march"."""
    return (
        text.at(k).written in AMBIGUOUS
        and text.at(k - 1).kind == "ordinal"
        and (text.at(i - 1).text in _NO_MONTH or text.at(i).text in _NO_MONTH)
    )


def days_of_month(text: Text, i: int, *, plain: bool, past: bool = False) -> Read | None:
    """Read "3 May", "the 3rd of May 2023", "3, 4 and 5 May", "the 3rd of last month"."""
    days = day_list(text, i)
    if days is None:
        return None
    first, last, nth, j = days
    specific = nth and text.says(i - 1, "the")  # "she came third in May"
    for _ in range(2):  # "3rd of May", "3 in May"
        if text.at(j).text == "of" or (specific and text.at(j).text == "in"):
            j += 1
    unit = "day" if first == last else "span"
    if nth and text.is_last(j) and text.says(j + 1, "month"):
        over = shifted(text.today, "month", -1)
        time = Time(unit, None, over.month, first, last)
        return replace(time, days=time.in_year(over.year)), j + 2
    named = text.at(j)
    if named.text not in MONTHS:
        return None
    time = Time(unit, None, MONTHS[named.text], first, last, past)
    j += 1
    if text.at(j).text == "." and not text.at(j).spaced and len(named.text) <= 4:
        j += 1
    dated = with_year(text, time, j)
    if dated[0].days is None and not nth and is_amount(text, j) and not text.says(j, "of"):
        return None  # "did I buy 3 April tickets"
    if nth and not plain and _is_second(text, i, j - 1) and dated[0].days is None:
        return None
    verb = named.written in AMBIGUOUS and not (plain or nth or past)
    if verb and dated[0].days is None and not text.ends_clause(j):
        return None
    return dated


def day_list(text: Text, i: int) -> tuple[int, int, bool, int] | None:
    """Days of a month: the first, the last, whether one is ordinal, and the position behind."""
    days: list[tuple[int, int]] = []
    nth, j = False, i
    while len(days) < _MAX_LISTED:
        k = j + (text.at(j).text == "the")
        token = text.at(k)
        if token.kind in ("number", "ordinal") and 1 <= token.value <= 31:
            days.append((token.value, k + 1))
            nth = nth or token.kind == "ordinal"
        elif match := re.fullmatch(r"(\d\d?)[-\u2013](\d\d?)", token.text):
            days += [(int(match[1]), k + 1), (int(match[2]), k + 1)]
        else:
            break
        j = k + 1
        while text.at(j).text in LISTED | RANGED and j - k < 3:
            j += 1
        if j == k + 1:
            break
    while len(days) > 1 and _in_month_before(text, i):
        # "May 3 to 5 June", "May 3 and 5 people": the last number belongs to what follows.
        after = text.at(days[-1][1])
        if after.text not in MONTHS and (
            after.kind != "word" or after.text in FUNCTION_WORDS | PREPOSITIONS
        ):
            break
        days.pop()
    if not days:
        return None
    if len(days) == 2 and _in_month_before(text, i) and text.says(days[-1][1] - 2, ","):
        raise ValueError("it may be a day and a short year: May 3, 22")
    numbers = [day for day, _ in days]
    return min(numbers), max(numbers), nth, days[-1][1]


def _in_month_before(text: Text, i: int) -> bool:
    """Whether days at a position follow their month: "May 3", "Jan. 3"."""
    return text.at(i - 1).text in MONTHS or text.at(i - 2).text in MONTHS


def year(text: Text, i: int) -> tuple[int, int] | None:
    """The year of a month: "May 2023", "May, 2023", "May of 2023", "May (2023)", "May '23"."""
    glued = text.at(i).text in ("-", "/") and not (text.at(i).spaced or text.at(i + 1).spaced)
    j = i + (glued or text.at(i).text in (",", "of", "in", "("))
    token, short = text.at(j), text.at(j + 1)
    found: tuple[int, int] | None = None
    if token.kind == "number" and len(token.text) == 4 and 1000 <= token.value < 3000:
        found = token.value, j + 1
    elif token.text in ("'", "\u2019") and short.kind == "number" and len(short.text) == 2:
        century = 2000 if short.value <= text.today.year % 100 + 10 else 1900
        found = century + short.value, j + 2
    if found is None or text.at(i).text != "(":
        return found
    return (found[0], found[1] + 1) if text.says(found[1], ")") else None


def with_year(text: Text, time: Time, i: int) -> tuple[Time, int]:
    """A time without a year, with the year that follows: "last year", "two years ago"."""
    found = year(text, i)
    if found is None:
        j = i
        while text.at(j).text in (",", "of", "in", "the") and j < i + 2:
            j += 1
        relative = relative_year(text, j)
        if relative is None or relative[0].days is None:
            return time, i
        found = relative[0].days[0].year, relative[1]
    if text.at(found[1]) is not END and text.at(found[1]).text in ("bc", "bce"):
        return time, i
    return replace(time, days=time.in_year(found[0])), found[1]
