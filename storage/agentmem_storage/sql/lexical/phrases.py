"""Phrases of a query: among which chunks, in how many of these each occurs, and what it weighs."""

from __future__ import annotations

import json
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

# Of fewer ids, a list is read as fast as a mask.
_MASKED = 256
# The most bytes of a mask for each of its ids.
_SPARSE = 64

Shape = Literal["span", "mask", "list"]


class Among(NamedTuple):
    """The chunks that a search considers.

    Attributes:
        json: Their ids, in any order.
        first: The lowest id; of none, 0.
        last: The highest one; of none, -1.
        mask: Of many ids, a byte for each between these two, 1 if it is one of them; None of few,
            of ids with wide gaps, and of ids without any.
        shape: What tells them best: the two bounds alone, the mask, or the list.
    """

    json: str
    first: int
    last: int
    mask: bytes | None
    shape: Shape

    @classmethod
    def of(cls, ids: NDArray[np.int64], listed: str | None = None) -> Self:
        """Ids in ascending order, and as JSON if that is known."""
        first, last = (int(ids[0]), int(ids[-1])) if ids.size else (0, -1)
        span = last - first + 1
        text = json.dumps(ids.tolist()) if listed is None else listed
        if span == ids.size:
            return cls(text, first, last, None, "span")
        if ids.size < _MASKED or span > _SPARSE * ids.size:
            return cls(text, first, last, None, "list")
        marks = np.zeros(span, dtype=np.uint8)
        marks[ids - first] = 1
        return cls(text, first, last, marks.tobytes(), "mask")


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


class Counted(NamedTuple):
    """What is known of a phrase of a query before it is counted.

    Attributes:
        rows: Rows of the lexical index that contain it, up to an id.
        upto: The id.
    """

    rows: int
    upto: int


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
