"""Reads what makes an amount of time approximate: "less than", "about", "a third of"."""

from __future__ import annotations

from agentmem.retrieval.dates.text import Text
from agentmem.retrieval.dates.vocabulary import ORDINALS

_LESS = (("less", "than"), ("under",), ("no", "more", "than"), ("at", "most"), ("up", "to"))
_MORE = (("more", "than"), ("over",), ("at", "least"), ("longer", "than"))
_ABOUT = tuple((word,) for word in "about around roughly approximately nearly almost".split())
_FRACTIONS = frozenset({"half", "halves", "quarter", "quarters"})
_FRACTIONS |= {name + plural for name in ORDINALS for plural in ("", "s")}


def qualifier(text: Text, i: int) -> tuple[str, int]:
    """``less``, ``more`` or ``about``, or "", and the position behind it."""
    for kind, spellings in (("less", _LESS), ("more", _MORE), ("about", _ABOUT)):
        for words in spellings:
            if text.says(i, *words):
                return kind, i + len(words)
    return "", i


def is_fraction(text: Text, i: int) -> bool:
    """Whether only a part of an amount is meant: "a third of (a year)"."""
    one = text.at(i).text in ("a", "an", "one")
    return one and text.says(i - 1, "of") and text.at(i - 2).text in _FRACTIONS
