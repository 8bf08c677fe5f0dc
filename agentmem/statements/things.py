"""Things: what a text names with a determiner, "the garage", "my new driving licence".

A later text that begins with another thing than the question's is seldom about that: "the new
fridge is a Liebherr" does not tell what make the dishwasher is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agentmem.statements.read import POSSESSIVE, stem
from agentmem.statements.words import CHANGE, EMPTY, STATE
from agentmem_storage.patterns import unicode_pattern

_DETERMINERS = frozenset(
    "the my our your his her their its a an this that these new another".split()
)
# They may tell which one it is.
_TELLING = frozenset("back little big old long small good".split())
# Words of a thing's name, at most.
_LONGEST = 4
_WORD = unicode_pattern(r"[\p{L}\p{M}\d][\p{L}\p{M}\d'’-]*+|[^\s\p{L}\p{M}\d]")


class Things(NamedTuple):
    """Stems of the nouns of the things that a text names.

    Attributes:
        first: What it begins with.
        others: What comes later.
    """

    first: frozenset[str]
    others: frozenset[str]


def things_in(text: str) -> Things:
    """The things that a text names, as far as its determiners tell."""
    words = [POSSESSIVE.sub("", match[0]) for match in _WORD.finditer(text)]
    first: set[str] = set()
    others: set[str] = set()
    place = 0
    while place < len(words):
        start = place
        while place < len(words) and words[place].lower() in _DETERMINERS:
            place += 1
        if place == start:
            place += 1
            continue
        name = _name(words[place : place + _LONGEST], begins=not start)
        if name:
            (others if start > 1 else first).add(stem(name[-1].lower()))
        place += len(name)
    return Things(frozenset(first), frozenset(others))


def _name(words: Sequence[str], *, begins: bool) -> Sequence[str]:
    """The first of some words, up to one that is no common noun or adjective."""
    for count, word in enumerate(words):
        lower = word.lower()
        is_empty = lower in EMPTY and lower not in _TELLING
        is_name = word[0].isupper() and not (begins and not count)
        known = STATE.fullmatch(word) or CHANGE.fullmatch(word)
        if not word[0].isalpha() or is_empty or is_name or known:
            return words[:count]
    return words
