"""Whether a question is about what holds now, or about what held before.

"Where do I live?" asks for the newest of several memories that supersede each other, "where did I
live before?" for an older one. Only English is read. In other languages, a question is taken to be
about now.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from agentmem_storage.patterns import unicode_pattern


class When(Enum):
    """What time a question is about, as far as its words tell."""

    NOW = "now"
    BEFORE = "before"
    UNKNOWN = "unknown"


def _pattern(words: str) -> Any:
    return unicode_pattern(rf"(?i)\b(?:{words})\b")


_OWNERS = r"my|our|your|his|her|their|its|the|\p{L}+['’]s"
_SUBJECTS = r"i|we|you|he|she|it|they|(?:my|our|your|his|her|their|the) \p{L}+|\p{L}+"
# What goes on for a time; "did I buy" is an event, and nothing takes its place later.
_STATES = (
    r"live|work|own|have|drive|use|prefer|like|love|hate|weigh|study|earn|pay|charge|cost|teach"
    r"|wear|date|take|drink|eat|stay|belong|want|need|think|speak|play|call|attend|rent|support"
    r"|report|manage|lead|plan|run|keep|feel|look|sleep|commute|train"
)
_PROGRESS = (
    r"living|working|driving|using|studying|earning|paying|teaching|wearing|dating|taking|staying"
    r"|renting|planning|seeing|playing|attending|going by|reporting|called|named|based|employed"
)
# Behind "last", a time and not a verb: "where was I last week?".
_TIMES = (
    r"(?:few|couple|several|one|two|three|\d+)\b|(?:week|month|year|night|time|day|hour|quarter|fall"
    r"|weekend|spring|summer|autumn|winter|semester|term|season|christmas|easter|thanksgiving)s?\b"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day|(?:january|february|march|april|may|june|july"
    r"|august|september|october|november|december)\b"
)
_LAST = (
    rf"(?:did|was|were|have|has|had) (?!(?:{_OWNERS}) last)(?:{_SUBJECTS}) last(?! (?:{_TIMES}))"
)
_NOW = _pattern(
    rf"{_LAST}|now|nowadays|current|currently|presently|at present|at the moment|these days|today"
    r"|again|latest|newest|(?:most|more) recent(?:ly)?|up[- ]to[- ]date|still|any ?more|any longer"
)
_BEFORE = _pattern(
    rf"before|previous|previously|former|formerly|used? to|back then|originally|initially"
    rf"|in the past|in those days|at first|at (?:that|the) time|until then|earlier|prior to"
    rf"|(?:{_OWNERS}) (?:old|older|first|initial|original|prior|past|ex)|ex-\p{{L}}+|last known"
)
_HELD = _pattern(
    rf"did (?:{_SUBJECTS}) (?:\p{{L}}+ly )?(?:{_STATES})"
    rf"|(?:was|were) (?:{_SUBJECTS}) (?:{_PROGRESS})"
    rf"|(?:what|who|where|which \p{{L}}+|how \p{{L}}+) (?:was|were) (?:{_OWNERS}) \p{{L}}+"
)
_PAST = _pattern(r"did|was|were|had")
_AFTER = _pattern("after")
# A query of a few words that neither asks nor says whose is one of keywords.
_MOST_KEYWORDS = 2
_ASKS = unicode_pattern(
    rf"(?i)[?\uff1f\u061f]|\b(?:what|who|whose|where|when|which|how|do|does|is|are|am|have|has|i|{_OWNERS})\b"
)


def when_asked(question: str) -> When:
    """What time a question is about; see `When`.

    Keywords, such as "Paris", ask for neither; see `are_keywords`.

    Past tense alone asks for an event as often as for what held before: only of verbs that go on
    for a time, such as "live", it means the latter.
    """
    now, before = _NOW.search(question), _BEFORE.search(question)
    if now or before:
        if now and before:
            return When.UNKNOWN
        return When.NOW if now else When.BEFORE
    if _PAST.search(question) is None:
        return When.UNKNOWN if are_keywords(question) else When.NOW
    return When.BEFORE if _HELD.search(question) else When.UNKNOWN


def are_keywords(query: str) -> bool:
    """Whether a query is a few words that ask nothing: "wifi password"."""
    return len(query.split()) <= _MOST_KEYWORDS and _ASKS.search(query) is None


def asks_after(question: str) -> bool:
    """Whether a question is about what held after something: "where did I live after Berlin?"."""
    return _AFTER.search(question) is not None and _HELD.search(question) is not None
