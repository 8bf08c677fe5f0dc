"""Two things of one kind: the code of the garage, and that of the cellar.

A change of the one says nothing of the other. What tells them apart stands directly before what
they are, or behind it: "the cellar code", "the code of the cellar".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from agentmem.statements.words import CHANGE, EMPTY, STATE
from agentmem_storage.patterns import unicode_pattern

_WORD = unicode_pattern(r"[\p{L}\p{M}][\p{L}\p{M}'’-]*+|[^\s\p{L}\p{M}]++")
_BEHIND = frozenset({"of", "for"})
_DETERMINERS = frozenset("the my our your his her their a an".split())
# They tell nothing apart.
_SAME = (
    frozenset("phone telephone mobile cell cellphone handy".split()),
    frozenset("wifi wi-fi wireless network wlan router internet".split()),
    frozenset("work office job business company".split()),
    frozenset("home house flat apartment private".split()),
    frozenset("mail email e-mail".split()),
)
# Nor do these.
_ANY = frozenset("best favourite favorite current main own regular usual next previous".split())
_SHORTEST = 3


class Apart(NamedTuple):
    """What a text says of things of one kind.

    Attributes:
        words: All of its words.
        pairs: What tells a thing from others of its kind, and the kind: ("cellar", "code").
    """

    words: frozenset[str]
    pairs: tuple[tuple[str, str], ...]


def told_apart(text: str) -> Apart:
    """What a text says of things of one kind."""
    words = _words(text)
    return Apart(frozenset(words), tuple(_pairs(words)))


def of_other_things(old: Apart, new: Apart) -> bool:
    """Whether two texts are about two things of one kind, as far as their words tell."""
    return any(
        kind == other_kind
        and which != other
        and other not in old.words
        and which not in new.words
        and not are_same(which, other)
        for which, kind in old.pairs
        for other, other_kind in new.pairs
    )


def are_same(one: str, other: str) -> bool:
    """Whether two words tell no two things apart: "phone", "mobile"."""
    return any({one, other} <= same for same in _SAME)


def _words(text: str) -> list[str]:
    return [word.removesuffix("'s").removesuffix("’s") for word in _WORD.findall(text)]


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    for which, kind in pairwise(words):
        if _tells(which) and _tells(kind):
            yield which, kind
    for at, kind in enumerate(words):
        if _tells(kind) and words[at + 1 : at + 2] and words[at + 1] in _BEHIND:
            which = _without_determiner(words[at + 2 : at + 4])
            if which and _tells(which):
                yield which, kind


def _without_determiner(words: Sequence[str]) -> str:
    return next((word for word in words if word not in _DETERMINERS), "")


def _tells(word: str) -> bool:
    """Whether it is a common noun, as far as it can be told; names say who it is."""
    known = word in EMPTY | _ANY or STATE.fullmatch(word) or CHANGE.fullmatch(word)
    return not known and len(word) >= _SHORTEST and word[0].islower()
