"""Embeddings as the rows have them, for what searches them outside of the database.

Damaged ones are left out, with a warning; `check` reports them too.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from agentmem_storage.errors import CorruptRecordError
from agentmem_storage.records import Scope
from agentmem_storage.sql.schema import codec
from agentmem_storage.sql.schema.tables import chunks, scopes
from agentmem_storage.sql.where.selection import GIVEN, given, scope_conditions

_log = logging.getLogger(__name__)


class Embeddings(NamedTuple):
    """Embeddings of chunks.

    Attributes:
        ids: Of the chunks, ascending, int64 of shape (n,).
        scopes: Ids of their scopes, int64 of shape (n,).
        vectors: float32 of shape (n, K), unit rows.
    """

    ids: NDArray[np.int64]
    scopes: NDArray[np.int64]
    vectors: NDArray[np.float32]


def embeddings_of(connection: Connection, ids: NDArray[np.int64], dims: int) -> Embeddings:
    """Those of the given chunks that are there, and that are not damaged.

    Args:
        connection: A transaction.
        ids: int64 of shape (n,).
        dims: K.
    """
    query = select(chunks.c.id, chunks.c.scope_id, chunks.c.key).where(chunks.c.id.in_(GIVEN))
    rows = connection.execute(query.order_by(chunks.c.id), given(ids)).all()
    found, vectors = decode_intact([row.id for row in rows], [row.key for row in rows], dims)
    owners = {row.id: row.scope_id for row in rows}
    return Embeddings(found, np.array([owners[id] for id in found.tolist()], np.int64), vectors)


def decode_intact(
    ids: Sequence[int], blobs: Sequence[bytes], dims: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Decode embeddings, leaving out damaged ones.

    Args:
        ids: Of n chunks.
        blobs: Their embeddings as they are stored.
        dims: K.

    Returns:
        Ids and embeddings of those that are intact, in the same order, of shapes (m,) and (m, K).
    """
    intact = dict(zip(ids, blobs, strict=True))
    while intact:
        try:
            vectors = codec.decode_embeddings(list(intact.values()), list(intact))
        except CorruptRecordError as error:
            _log.warning("excluded from vector search: %s", error)
            intact = {one: blob for one, blob in intact.items() if one != error.id}
        else:
            return np.array(list(intact), dtype=np.int64), vectors
    return np.empty(0, dtype=np.int64), np.empty((0, dims), dtype=np.float32)


def ids_after(connection: Connection, id: int, most: int | None = None) -> NDArray[np.int64]:
    """Ids of chunks above one, ascending, int64 of shape (n,).

    Args:
        connection: A transaction.
        id: That id.
        most: How many at most; None for all.
    """
    query = select(chunks.c.id).where(chunks.c.id > id).order_by(chunks.c.id).limit(most)
    return np.array(connection.scalars(query).all(), dtype=np.int64)


def scopes_within(connection: Connection, scope: Scope, most: int) -> list[int] | None:
    """Ids of the scopes that a scope includes; None if it includes all, or more than so many."""
    conditions = scope_conditions(scope)
    if not conditions:
        return None
    query = select(scopes.c.id).where(*conditions).limit(most + 1)
    found = list(connection.scalars(query))
    return None if len(found) > most else found
