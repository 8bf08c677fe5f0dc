"""Where two texts differ, word by word."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import NamedTuple

_PIECES = re.compile(r"\s+|\w+|[^\w\s]")


class Piece(NamedTuple):
    """A run of text in both, or in one of them.

    Attributes:
        original: What stands in the original.
        other: What stands in the other text.
    """

    original: str
    other: str

    @property
    def same(self) -> bool:
        """Whether both are equal there."""
        return self.original == self.other


def difference(original: str, other: str) -> list[Piece]:
    """Both texts in pieces that are equal or differ; joined they are the texts again."""
    ours, theirs = _PIECES.findall(original), _PIECES.findall(other)
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    return [
        Piece("".join(ours[a:b]), "".join(theirs[c:d])) for _, a, b, c, d in matcher.get_opcodes()
    ]
