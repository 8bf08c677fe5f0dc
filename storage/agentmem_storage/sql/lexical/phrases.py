"""Phrases of a query: in how many chunks each occurs, and what it weighs."""

from __future__ import annotations

from typing import NamedTuple


class Count(NamedTuple):
    """In how many chunks a phrase of a query occurs.

    Attributes:
        phrase: Its words.
        everywhere: Rows of the lexical index that contain it.
        scope: Chunks of the scope.
        allowed: Chunks that may be found.
    """

    phrase: str
    everywhere: int
    scope: int
    allowed: int


class Weighted(NamedTuple):
    """A phrase with what its BM25 is to be multiplied by.

    Attributes:
        phrase: Its words.
        weight: Its inverse document frequency in the scope, less if it only may be meant.
        having: Rows of the lexical index that contain it.
    """

    phrase: str
    weight: float
    having: int
