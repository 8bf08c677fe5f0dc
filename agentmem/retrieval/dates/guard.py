"""Refuses phrases beside which something stands that belongs to them and was not read.

A time of which only a part was understood is wrong: "in May" in "in May or at Easter", "before
3 May" in "some days before 3 May". So from each end of a phrase, its surroundings are looked at
across the words that join times. Where they lead to the word of a time, or change what the phrase
means, the query names no time that is understood.

What only narrows a phrase does no harm, for its interval then still contains what is meant: "a
Friday in May", "last week at noon", "in May before the wedding".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from agentmem.retrieval.dates.before import Before
from agentmem.retrieval.dates.behind import Behind
from agentmem.retrieval.dates.phrases import Found, NotUnderstood, Phrase
from agentmem.retrieval.dates.text import Text
from agentmem.retrieval.dates.vocabulary import AMBIGUOUS, MONTHS, WEEKDAYS


def understood(text: Text, found: Sequence[Found]) -> list[Phrase]:
    """The phrases of a query, if they are all that it says about time.

    "After the party in May" and "since we met in 2020" are open at one end, as what happened in
    them may lie at any time behind or before.

    Raises:
        NotUnderstood: Beside one of them stands what may belong to it.
    """
    places = {at: one for one in found for at in range(one.start, one.end)}
    if any(_is_alternative(text, k, places) for k in range(len(text.tokens))):
        raise NotUnderstood
    phrases: list[Phrase] = []
    for one in found:
        if one.phrase is None:
            continue
        behind = Behind(text, one, one.phrase, places)
        before = Before(text, one, one.phrase, places)
        lead = before.clause()
        if behind.belongs() or before.belongs() or (lead and one.phrase.lead):
            raise NotUnderstood
        phrases.append(replace(one.phrase, lead=lead) if lead else one.phrase)
    return phrases


def _is_alternative(text: Text, k: int, places: Mapping[int, Found]) -> bool:
    """Whether an unread month or weekday stands behind "or": "in May, I think, or June"."""
    if text.at(k - 1).text != "or" or k in places:
        return False
    token = text.at(k)
    return token.text in MONTHS.keys() | WEEKDAYS.keys() and token.written not in AMBIGUOUS
