"""The exact results of a search, which those of a store are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.vectorstores.rows import Rows

# Scores that differ by less are equal: stores compute them in different ways.
_EQUAL = 1e-5


@dataclass(frozen=True, slots=True)
class Asked:
    """One search: a vector, and a user or a number or neither.

    Attributes:
        vector: float32 of shape (K,), unit norm.
        user: Only rows of this user.
        number: Only rows with this number.
    """

    vector: NDArray[np.float32]
    user: str | None = None
    number: int | None = None


def shares_found(
    rows: Rows, held: int, searches: Sequence[Asked], found: Sequence[Sequence[int]], k: int
) -> list[float]:
    """For each search, the share of the k best rows that it found; of fewer, if there are fewer.

    Of rows with equal scores, each is as good as the other. Rows that were not asked for do not
    count.

    Args:
        rows: The rows.
        held: How many of them, the first ones, a store holds.
        searches: What was asked.
        found: Numbers of the rows that were found.
        k: How many were wanted.
    """
    users = np.array([rows.user(first) for first, _ in rows.users()])
    starts = np.array([first for first, _ in rows.users()])
    numbers = np.array([turn.number for turn in rows.turns])
    best = [np.empty(0, dtype=np.float32) for _ in searches]
    for first, vectors in rows.blocks(held):
        every = np.arange(first, first + len(vectors))
        whose = users[np.searchsorted(starts, every, side="right") - 1]
        own = numbers[every % len(numbers)]
        scores = vectors @ np.stack([one.vector for one in searches]).T
        for index, one in enumerate(searches):
            chosen = scores[_allowed(one, whose, own), index]
            merged = np.concatenate([best[index], chosen])
            best[index] = np.sort(merged)[::-1][:k]
    shares = []
    for one, ids, top in zip(searches, found, best, strict=True):
        distinct = np.array(list(dict.fromkeys(ids))[:k], dtype=np.int64)
        whose = users[np.searchsorted(starts, distinct, side="right") - 1]
        allowed = distinct[_allowed(one, whose, numbers[distinct % len(numbers)])]
        good = sum(
            float(rows.vectors(row, row + 1)[0] @ one.vector) >= top[-1] - _EQUAL
            for row in allowed.tolist()
        )
        shares.append(min(1.0, good / len(top)) if len(top) else 1.0)
    return shares


def _allowed(one: Asked, users: NDArray[np.str_], numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    allowed = np.ones(len(users), dtype=np.bool_)
    if one.user is not None:
        allowed &= users == one.user
    if one.number is not None:
        allowed &= numbers == one.number
    return allowed
