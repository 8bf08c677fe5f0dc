"""Tells whether a time is taken back for another one: "in May, I mean June"."""

from __future__ import annotations

from collections.abc import Sequence

from agentmem.retrieval.dates.phrases import Found
from agentmem.retrieval.dates.text import Text
from agentmem.retrieval.dates.vocabulary import FEASTS, LAST, MONTHS, SEASONS, WEEKDAYS

_TAKEN_BACK = frozenset("mean meant rather sorry wait scratch correction no".split())
_BETWEEN = _TAKEN_BACK | frozenset(
    ", . ; : - \u2013 \u2014 ( i oh or well make that it was in on at the early late "
    "actually".split()
)
_TIMES = MONTHS.keys() | WEEKDAYS.keys() | FEASTS | SEASONS | LAST | {"yesterday", "today"}
_MAX_WORDS = 9


def is_corrected(text: Text, found: Sequence[Found]) -> bool:
    """Whether another time is said behind one, with words that take the first one back."""
    starts = {one.start for one in found}
    return any(_is_corrected(text, one.end, starts) for one in found)


def _is_corrected(text: Text, k: int, starts: set[int]) -> bool:
    taken_back = False
    for at in range(k, k + _MAX_WORDS):
        token = text.at(at)
        year = token.kind == "number" and 1900 <= token.value <= 2099
        named = at in starts or token.text in _TIMES or token.kind == "ordinal" or year
        if taken_back and named:
            return True
        if token.text not in _BETWEEN:
            return False
        taken_back = taken_back or token.text in _TAKEN_BACK
    return False
