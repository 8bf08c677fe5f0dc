"""What is selected, and what a search finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.records.common import Scope


@dataclass(frozen=True, slots=True)
class Selection:
    """Which chunks a call refers to; all given conditions must hold.

    Attributes:
        scope: Scope ids that must be equal; None matches anything.
        ids: Chunk ids.
        source_ids: Source ids.
        external_ids: Ids that callers gave to sources.
        where: Filter over metadata and fields, see `agentmem_storage.sql.where.filters`.
        since: Inclusive lower bound of ``created_at``.
        until: Exclusive upper bound of ``created_at``.
        days: From the beginning of one day to that of another, exclusive; None is an open end. They
            bound the day on which something was said, see `agentmem_storage.timestamps.said_on`.
            They may be other times of a day, too, which what has only a date is before or after.
        expired: False for what has not expired, True for what has and is not erased yet, None for
            both.
    """

    scope: Scope = Scope()
    ids: tuple[int, ...] | None = None
    source_ids: tuple[int, ...] | None = None
    external_ids: tuple[str, ...] | None = None
    where: Mapping[str, Any] | None = None
    since: datetime | None = None
    until: datetime | None = None
    days: tuple[datetime | None, datetime | None] = (None, None)
    expired: bool | None = False

    @property
    def everything(self) -> bool:
        """Whether there are no conditions: all chunks but expired ones are selected."""
        return self == EVERYTHING


EVERYTHING: Final = Selection()


@dataclass(frozen=True, slots=True)
class Page:
    """A part of what is listed in order.

    Attributes:
        after: Id of the chunk that comes just before it; None for the beginning.
        limit: Maximum number of chunks; None for all that follow.
        newest_first: Whether the order is the opposite one.
    """

    after: int | None = None
    limit: int | None = None
    newest_first: bool = False


WHOLE: Final = Page()


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Ids and scores of one search, best first; higher scores are better.

    Attributes:
        ids: int64 array of shape (n,).
        scores: float32 array of shape (n,).
        coverage: Of a search by words: the share of the query's words, by weight, that the best
            result contains.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    coverage: float = 1.0


@dataclass(frozen=True, slots=True)
class WordMatches:
    """How much of a query's words some chunks contain, each word weighed by its rarity in a scope.

    The weight of a word is its inverse document frequency, ``log(1 + (N - n + 0.5) / (n + 0.5))``
    if n of N chunks contain it. Stop words do not count.

    Attributes:
        total: Weight of all words of the query; 0 if it has none but stop words.
        greatest: Weight of a word that no chunk contains.
        chunks: N, the number of chunks in the scope.
        found: Weight of the words that each of the chunks contains, by id; none are missing.
    """

    total: float
    greatest: float
    chunks: int
    found: dict[int, float]
