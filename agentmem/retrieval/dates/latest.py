"""Tells whether "last" is not the latest before now: "the last Friday before the trip"."""

from __future__ import annotations

from collections.abc import Sequence

from agentmem.retrieval.dates.holidays import STARTS
from agentmem.retrieval.dates.phrases import Found
from agentmem.retrieval.dates.text import Text
from agentmem.retrieval.dates.vocabulary import (
    CLOCK_UNITS,
    COUNTS,
    MONTHS,
    PARTS_OF_DAY,
    UNITS,
    WEEKDAYS,
)

_NAMED = MONTHS.keys() | WEEKDAYS.keys() | UNITS.keys() | COUNTS.keys() | STARTS
_NAMED |= {"night", "weekend", "hours", "couple", "of", "day", "eve", "year"}
_AMOUNTS = UNITS.keys() | CLOCK_UNITS.keys()
_WHOSE = frozenset("my our your his her their its".split())
# "the last Monday we met"
_CLAUSES = frozenset("i we you he she they it that when who which where".split())
# "over the last year I have learned"
_TO_NOW = frozenset({"over", "during", "in", "within", "for", "throughout"})
# "last Friday before lunch": of that day.
_WITHIN_A_DAY = frozenset(
    "breakfast lunch dinner supper tea noon midnight midday work bed bedtime dawn sunrise sunset "
    "dark dusk".split()
)


def is_earlier(text: Text, found: Sequence[Found]) -> bool:
    """Whether the last one of something, or the last but one, is asked for, and not of all."""
    return any(
        _is_earlier(text, k, one.end)
        for one in found
        if one.phrase is not None
        for k in range(one.start, one.end - 1)
        if text.is_last(k) and all(_is_of_it(text, n) for n in range(k + 1, one.end))
    )


def _is_of_it(text: Text, n: int) -> bool:
    return text.at(n).text in _NAMED or text.at(n).kind == "number"


def _is_earlier(text: Text, k: int, end: int) -> bool:
    """Whether it is so of the "last" at a position, of a phrase with this end."""
    before, article = text.at(k - 1), text.says(k - 1, "the")
    if before.text in _WHOSE or before.possessive:
        return True  # "my last week at Acme"
    night = text.says(k + 1, "night")
    end += text.at(end).text in PARTS_OF_DAY
    after = text.at(end)
    if after.text == "but":
        count = text.at(end + 1 + text.says(end + 1, "for"))
        return count.text in COUNTS and count.text not in ("a", "an")
    if after.text == "before" or text.says(end, "prior", "to"):
        bound = text.at(end + 1)
        part = bound.kind in ("number", "other", "end") or bound.text in _WITHIN_A_DAY
        return not part and (article or not night)
    if not article or text.at(k - 2).text in _TO_NOW and text.at(end - 1).text in _AMOUNTS:
        return False
    name = after.kind == "word" and after.spaced and after.written[0].isupper()
    return after.text in _CLAUSES or name
