"""Tells whether a time is one of several, of which another is an event: "in May or the wedding".

When the event was is not known, so the time alone would be wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from agentmem.retrieval.dates.phrases import Found
from agentmem.retrieval.dates.side import ORDERS
from agentmem.retrieval.dates.text import Text
from agentmem.retrieval.dates.vocabulary import FUNCTION_WORDS, PREPOSITIONS

_DETERMINERS = frozenset("the a an my our your his her their this that".split())
# Behind "and", anything else may begin a new clause: "in May and the kids".
_EVENTS = frozenset(
    "wedding party trip journey visit funeral honeymoon graduation birthday anniversary reunion "
    "concert festival conference baptism christening engagement divorce birth death war move exam "
    "surgery operation accident holiday vacation launch election".split()
)


def has_event_beside(text: Text, found: Sequence[Found]) -> bool:
    """Whether one of the times of a query is joined with an event."""
    covered = {at for one in found for at in range(one.start, one.end)}
    return any(
        _event_behind(text, one.end, covered) or _event_before(text, one.start, covered)
        for one in found
        if one.phrase is not None
    )


def _event_behind(text: Text, k: int, covered: Collection[int]) -> bool:
    """Whether it goes on with "or the wedding", "or at the wedding", "and the wedding"."""
    k += text.at(k).text == ","
    joint = text.at(k).text
    if joint not in ("or", "and"):
        return False
    k += 1
    k += text.at(k).text in PREPOSITIONS | ORDERS | {"around"}
    if k in covered or text.at(k).text not in _DETERMINERS or k + 1 in covered:
        return False
    return text.at(k + 1).text in _EVENTS if joint == "and" else text.at(k + 1).kind == "word"


def _event_before(text: Text, k: int, covered: Collection[int]) -> bool:
    """Whether it follows "the wedding or", "at the wedding and"."""
    joint, before = text.at(k - 1).text, text.at(k - 2)
    if k - 1 in covered or k - 2 in covered:
        return False
    other = before.kind == "word" and before.text not in FUNCTION_WORDS | PREPOSITIONS
    return (joint == "or" and other) or (joint == "and" and before.text in _EVENTS)
