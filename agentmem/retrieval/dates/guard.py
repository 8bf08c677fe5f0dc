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

from agentmem.retrieval.dates.ahead import asks_ahead
from agentmem.retrieval.dates.apart import has_year_apart
from agentmem.retrieval.dates.before import Before
from agentmem.retrieval.dates.behind import Behind
from agentmem.retrieval.dates.corrected import is_corrected
from agentmem.retrieval.dates.counting import counts
from agentmem.retrieval.dates.events import has_event_beside
from agentmem.retrieval.dates.latest import is_earlier
from agentmem.retrieval.dates.phrases import Found, NotUnderstood, Phrase
from agentmem.retrieval.dates.text import Text
from agentmem.retrieval.dates.titles import is_title
from agentmem.retrieval.dates.vocabulary import AMBIGUOUS, MONTHS, WEEKDAYS
from agentmem.retrieval.dates.zones import names_zone

# "3 May 2025, or was it in 2024?"
_REACH = 4
# "In May, or was it June?"
_PERHAPS = frozenset("was is it that maybe perhaps possibly probably rather even".split())


def understood(text: Text, found: Sequence[Found]) -> list[Phrase]:
    """The phrases of a query, if they are all that it says about time.

    "After the party in May" and "since we met in 2020" are open at one end, as what happened in
    them may lie at any time behind or before.

    Raises:
        NotUnderstood: Beside one of them stands what may belong to it.
    """
    covered = {at: one for one in found for at in range(one.start, one.end)}
    if any(_is_alternative(text, k, covered) for k in range(len(text.tokens))):
        raise NotUnderstood
    if found and (_is_ahead(text, found) or has_year_apart(text, found) or names_zone(text)):
        raise NotUnderstood
    if has_event_beside(text, found) or any(is_title(text, one) for one in found):
        raise NotUnderstood
    if is_earlier(text, found) or is_corrected(text, found):
        raise NotUnderstood
    phrases: list[Phrase] = []
    for one in found:
        if one.phrase is None:
            continue
        behind = Behind(text, one, one.phrase, covered)
        before = Before(text, one, one.phrase, covered)
        lead = before.clause()
        if behind.belongs() or before.belongs() or (lead and one.phrase.lead):
            raise NotUnderstood
        phrases.append(replace(one.phrase, lead=lead) if lead else one.phrase)
    return phrases


def _is_ahead(text: Text, found: Sequence[Found]) -> bool:
    """Whether a time without a year may be a coming one: "am I free in December?"."""
    phrases = [one.phrase for one in found if one.phrase is not None]
    if any(phrase.whole_years or phrase.times[0].weak for phrase in phrases):
        return False  # "is there a photo of last year, in May?"
    open_to_it = [
        phrase
        for phrase in phrases
        if (phrase.yearless or phrase.times[0].unnamed)
        and phrase.lead != "since"
        and not any(t.past for t in phrase.times)
    ]
    return bool(open_to_it) and asks_ahead(text)


def _is_alternative(text: Text, k: int, covered: Mapping[int, Found]) -> bool:
    """Whether an unread time stands behind "or": "in May, I think, or June", "3 May?? or 2024"."""
    token = text.at(k)
    year = token.kind == "number" and len(token.text) == 4 and 1900 <= token.value <= 2099
    if token.text in MONTHS and text.says(k - 1, "the") and text.says(k + 1, "before"):
        if text.at(k - 2).text in ("or", "and") and covered:
            return True  # "last May or the May before"
    if k in covered or not (year or token.text in MONTHS or token.text in WEEKDAYS):
        return False
    if year:
        after = any(text.at(n).text == "or" for n in range(k - _REACH, k))
        return after and bool(covered) and not counts(text, k + 1)
    at = k - 1
    while text.at(at).text in _PERHAPS:
        at -= 1
    # Of "or was it May?", the words between say that a time is meant.
    return text.at(at).text == "or" and (
        token.written not in AMBIGUOUS or (at < k - 1 and bool(covered))
    )
