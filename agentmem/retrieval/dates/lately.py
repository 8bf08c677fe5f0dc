"""Reads "on Monday", "today", "this week" and the like in a question in the past tense.

"What did I do on Monday?" is about the latest Monday. In the present tense, or in none, such a time
is as often a coming one, which was mentioned earlier, and so is what was planned for it: "what was
I supposed to do on Monday?".
"""

from __future__ import annotations

from agentmem.retrieval.dates.calendar import DAY, Time, calendar_unit, one_day
from agentmem.retrieval.dates.text import Read, Text
from agentmem.retrieval.dates.vocabulary import (
    FUNCTION_WORDS,
    LISTED,
    MONTHS,
    PARTS_OF_DAY,
    PREPOSITIONS,
    RANGED,
    WEEKDAYS,
)
from agentmem.retrieval.dates.weekdays import in_week, listed_weekdays

# What they are about, not when: "what did she say about Monday?", "the plan for today".
_OF_WHAT = (PREPOSITIONS - {"on"}) | frozenset(
    "about by until till before after since from to than as like with every each".split()
)
_LISTED = LISTED | RANGED
_ONE_OF = frozenset("the a an my our your his her their its this that one it and or".split())


def lately(text: Text, i: int) -> Read | None:
    """Read "Monday", "today", "this week" or "this morning" of a question that asks back.

    Args:
        text: The query.
        i: The position of the weekday, of "today", or of "this".
    """
    word, today = text.at(i).text, text.today
    if text.at(i).possessive or text.at(i - 1).text in _OF_WHAT:
        return None
    if word in WEEKDAYS:
        return _weekdays(text, i)
    if word in ("today", "tonight"):
        return Time("day", one_day(today)), i + 1
    unit = text.at(i + 1).text
    if word != "this" or text.at(i + 1).possessive:
        return None
    if unit in PARTS_OF_DAY:
        return Time("day", one_day(today)), i + 2
    if unit not in ("week", "month", "year") or text.says(i + 2, "of"):
        return None
    if unit == "year" and (
        text.at(i - 1).text in _LISTED or any(token.text in MONTHS for token in text.tokens)
    ):
        return None  # "last year and this year", "this year in May"
    so_far = Time("span", (calendar_unit(unit, today)[0], today + DAY))
    return _within(text, so_far, i + 2) if unit == "week" else (so_far, i + 2)


def _within(text: Text, so_far: Time, i: int) -> Read | None:
    """Read "(this week) on Monday", if that is not to come."""
    found, j = in_week(text, so_far, i)
    if found is None or found.days is None or found.days[1] > text.today + DAY:
        return None
    return found, j


def _weekdays(text: Text, i: int) -> Read | None:
    """The latest such weekday before today, or the latest several within a week."""
    found = listed_weekdays(text, i)
    if found is None or not _is_adverbial(text, i, found[2]):
        return None
    first, last, j = found
    named = sum(token.text in WEEKDAYS for token in text.tokens)
    if named != sum(token.text in WEEKDAYS for token in text.tokens[i:j]):
        return None  # "on Monday, or was it Tuesday?"
    end = text.today - ((text.today.weekday() - last) % 7 or 7) * DAY
    return Time("day" if first == last else "span", (end - (last - first) * DAY, end + DAY)), j


def _is_adverbial(text: Text, i: int, j: int) -> bool:
    """Whether weekdays say when: "on Monday", "what did I do Monday?", but not "Blue Monday"."""
    before, after = text.at(i - 1), text.at(j)
    joined = text.ends_clause(j) or after.text in (FUNCTION_WORDS | PREPOSITIONS) - {"of"}
    plain = before.kind == "word" and before.written[0].islower()
    return joined and (before.text == "on" or (plain and before.text not in _ONE_OF))
