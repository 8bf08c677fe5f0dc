"""What one transaction knows of the whole store before it reads any row: sizes and last change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, func, select

from agentmem_storage.sql.lexical.index_size import IndexSize
from agentmem_storage.sql.lexical.phrases import Among
from agentmem_storage.sql.logs.changes import Mark
from agentmem_storage.sql.schema.row_counts import ChunkCount
from agentmem_storage.sql.schema.tables import changes, chunks, meta
from agentmem_storage.sql.where.expiry import ANY_EXPIRED


class State(NamedTuple):
    """The state of the store that a transaction sees.

    Attributes:
        chunks: Number of chunks.
        terms: Number of rows of the lexical index.
        terms_stale: Whether some of these are of deleted chunks.
        newest: The last change.
        expired: Whether some sources have expired.
    """

    chunks: int
    terms: int
    terms_stale: bool
    newest: Mark
    expired: bool


class Listed(NamedTuple):
    """Ids of selected chunks.

    Attributes:
        ids: Ascending, int64 of shape (n,).
        json: The same in any order, as a parameter of statements.
    """

    ids: NDArray[np.int64]
    json: str

    @property
    def among(self) -> Among:
        """The same, for a search by words."""
        return Among.of(self.ids, self.json)


_SIZES = (ChunkCount(), IndexSize())
_NEWEST = tuple(
    select(one).order_by(changes.c.seq.desc()).limit(1).scalar_subquery()
    for one in (changes.c.seq, changes.c.stamp)
)
_STATE = select(*_SIZES, meta.c.terms_stale, *_NEWEST, ANY_EXPIRED.label("expired"))


def read_state(connection: Connection, now: int) -> State:
    """The state that a transaction sees at a time, in microseconds since 1970."""
    return _state(connection.execute(_STATE, {"now": now}).one())


def read_state_and_ids(
    connection: Connection, query: Select[tuple[int]], now: int
) -> tuple[State, Listed]:
    """The state, and the ids that a query returns, in one statement."""
    both = _STATE.add_columns(_as_json(query).scalar_subquery())
    *state, ids = connection.execute(both, {"now": now}).one()
    return _state(state), _listed(ids)


def list_ids(connection: Connection, query: Select[tuple[int]]) -> Listed:
    """The ids that a query returns."""
    return _listed(connection.execute(_as_json(query)).scalar_one())


def _state(row: Sequence[Any]) -> State:
    chunks, terms, stale, seq, stamp, expired = row
    newest = Mark() if seq is None else Mark(seq, stamp)
    return State(chunks, terms, bool(stale), newest, bool(expired))


def _as_json(query: Select[tuple[int]]) -> Select[Any]:
    # One JSON text is read four times as fast as one row per id, and filters select many.
    return query.with_only_columns(func.json_group_array(chunks.c.id))


def _listed(json: str) -> Listed:
    if json == "[]":
        return Listed(np.empty(0, dtype=np.int64), json)
    ids: NDArray[np.int64] = np.fromstring(json[1:-1], sep=",", dtype=np.int64)
    ids.sort()
    return Listed(ids, json)
