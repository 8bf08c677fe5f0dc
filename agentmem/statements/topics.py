"""What a statement begins with: "the gym" of "the gym opens at 6 now".

That the gym opens at 6 says nothing of the office, though both open. Nor do three bikes say how
many kids there are. But who takes over what somebody else did takes their place: "Thea is my
manager now".
"""

from __future__ import annotations

from agentmem.statements.read import Statement, is_number, stem
from agentmem.statements.siblings import are_same
from agentmem.statements.words import CHANGE, EMPTY, STATE
from agentmem_storage.patterns import unicode_pattern

_DAYS = frozenset(
    f"{day}{ending}"
    for day in "monday tuesday wednesday thursday friday saturday sunday".split()
    for ending in ("", "s")
)
_SPEAKER = unicode_pattern(r"(?:i|we)(?:['’]\w+)?")
_ANOTHER_STATE = frozenset({"new", "now"})
# Letters that a shortened name has in common with the long one: "prod", "production".
_SHORTEST = 3


def of_other_topics(old: Statement, new: Statement) -> bool:
    """Whether two statements say something of two things, as far as what they begin with tells."""
    if counts_another(old, new) and counts_another(new, old):
        return True
    (before, verb), (later, _) = _topic(old), _topic(new)
    if before and later:
        said = set(old.words[verb:]) - EMPTY
        takes_the_place = bool(said) and said.issubset(new.words)
        return not takes_the_place and _is_lost(before, new) and _is_lost(later, old)
    # "We meet on Mondays" and "the choir meets on Tuesdays" have but the verb in common.
    shared = old.subject & new.subject
    verbs = {stem(word) for word in new.words if STATE.fullmatch(word)}
    theirs = bool(later) and _SPEAKER.fullmatch(old.words[0]) is not None
    return theirs and bool(shared) and shared <= verbs and later.isdisjoint(old.words)


def counts_another(old: Statement, new: Statement) -> bool:
    """Whether the new one counts something that the old one does not name: "for 5 reps"."""
    return _is_lost(_counted(new), old)


def _counted(statement: Statement) -> frozenset[str]:
    """What stands behind a number, if that is no unit."""
    return frozenset(
        noun
        for number, noun in zip(statement.words, statement.words[1:], strict=False)
        if number.isdecimal() and noun not in EMPTY | statement.values
    )


def _topic(statement: Statement) -> tuple[frozenset[str], int]:
    """The words before the verb that tell what a statement is about, and the place of the verb."""
    words = statement.words
    verb = next((at for at, word in enumerate(words) if _is_verb(word)), 0)
    before = words[:verb]
    if any(map(_SPEAKER.fullmatch, before)):
        return frozenset(), verb
    known = EMPTY - _DAYS
    return frozenset(word for word in before if word not in known), verb


def _is_verb(word: str) -> bool:
    if word in _ANOTHER_STATE:
        return False
    return STATE.fullmatch(word) is not None or CHANGE.fullmatch(word) is not None


def _is_lost(words: frozenset[str], text: Statement) -> bool:
    """Whether another statement lacks one of some words."""
    return any(not any(_is_same(word, other) for other in text.words) for word in words)


def _is_same(word: str, other: str) -> bool:
    if word == other or are_same(word, other):
        return True
    short, long = sorted((stem(word), stem(other)), key=len)
    same = len(short) >= _SHORTEST and not is_number(short) and long.startswith(short)
    return same or stem(word) == stem(other)
