"""Phrases of a query: among which chunks, in how many of these each occurs, and what it weighs."""

from __future__ import annotations

import json
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray


class Among(NamedTuple):
    """The chunks that a search considers.

    Attributes:
        json: Their ids, in any order.
        first: The lowest id; of none, 0.
        last: The highest one; of none, -1.
        gapless: Whether these are all ids between them, so that the two say it all.
    """

    json: str
    first: int
    last: int
    gapless: bool

    @classmethod
    def of(cls, ids: NDArray[np.int64], listed: str | None = None) -> Self:
        """Ids in ascending order, and as JSON if that is known."""
        first, last = (int(ids[0]), int(ids[-1])) if ids.size else (0, -1)
        gapless = last - first + 1 == ids.size
        return cls(json.dumps(ids.tolist()) if listed is None else listed, first, last, gapless)


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
        allowed: Chunks that may be found and contain it.
    """

    phrase: str
    weight: float
    having: int
    allowed: int
