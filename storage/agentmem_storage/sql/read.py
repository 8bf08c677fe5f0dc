"""Queries that read rows; each function runs inside a given transaction."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Integer, Row, Select, bindparam, func, select

from agentmem_storage.episodes import Episode
from agentmem_storage.errors import CorruptRecordError, UnknownIdError
from agentmem_storage.metadata import read_metadata
from agentmem_storage.records import (
    ChunkRecord,
    LatentsRecord,
    Neighbors,
    Scope,
    Selection,
    Sides,
    SourceRecord,
    Written,
)
from agentmem_storage.sql import codec
from agentmem_storage.sql.selection import GIVEN, as_id, given, selected
from agentmem_storage.sql.tables import chunks, scopes, sources
from agentmem_storage.timestamps import from_micros

_CHUNKS = select(chunks).where(chunks.c.id.in_(GIVEN))
_LATENTS = (
    select(
        chunks.c.id,
        chunks.c.latents,
        chunks.c.tokens,
        chunks.c.patch,
        sources.c.name,
        sources.c.title,
    )
    .join(sources, sources.c.id == chunks.c.source_id)
    .where(chunks.c.id.in_(GIVEN))
)
_SOURCES = (
    select(sources, scopes.c.user_id, scopes.c.agent_id, scopes.c.session_id)
    .join(scopes, scopes.c.id == sources.c.scope_id)
    .where(sources.c.id.in_(GIVEN))
)
_CHUNKS_OF_SOURCES = (
    select(chunks.c.source_id, chunks.c.id)
    .where(chunks.c.source_id.in_(GIVEN))
    .order_by(chunks.c.source_id, chunks.c.ordinal)
)


def _neighbors_query() -> Select[Any]:
    """For each given chunk, up to ``reach`` neighbors on each side, with their tokens."""
    near, reach = chunks.alias("near"), bindparam("reach", type_=Integer)
    same_scope = select(near.c.id, near.c.tokens).where(near.c.scope_id == chunks.c.scope_id)
    before = same_scope.where(near.c.id < chunks.c.id).order_by(near.c.id.desc()).limit(reach)
    after = same_scope.where(near.c.id > chunks.c.id).order_by(near.c.id).limit(reach)
    listed = []
    for side in (before, after):
        found = side.correlate(chunks).subquery().c
        pairs = select(func.json_group_array(func.json_array(found.id, found.tokens)))
        listed.append(func.json(pairs.scalar_subquery()))
    # As one JSON text, because fetching a row for each takes far longer.
    row = func.json_array(chunks.c.id, chunks.c.tokens, *listed)
    return select(func.json_group_array(row)).where(chunks.c.id.in_(GIVEN))


_NEIGHBORS = _neighbors_query()

# Hashes are bound one by one, and SQLite limits the number of bound values in a statement.
_HASH_BATCH = 500


def read_chunks(
    connection: Connection, ids: Iterable[int], *, keep_damaged: bool = False
) -> list[ChunkRecord]:
    """Chunks in the order of ``ids``; see `decode_chunk` for damaged rows.

    Raises:
        UnknownIdError: No chunk has one of the ids.
        CorruptRecordError: A row does not match its checksums.
    """
    wanted = [as_id(one) for one in ids]
    found = {row.id: row for row in connection.execute(_CHUNKS, given(wanted))}
    _require(wanted, found, "memory")
    return [decode_chunk(found[one], keep_damaged=keep_damaged) for one in wanted]


def next_chunks(
    connection: Connection, selection: Selection, after: int, limit: int
) -> Sequence[Row[Any]]:
    """Rows of the next selected chunks by id, starting above ``after``."""
    query = (
        select(chunks)
        .where(chunks.c.id > after, chunks.c.id.in_(selected(selection)))
        .order_by(chunks.c.id)
        .limit(limit)
    )
    return connection.execute(query).all()


def decode_chunk(row: Row[Any], *, keep_damaged: bool = False) -> ChunkRecord:
    """Convert a row of ``chunks`` to a record.

    Args:
        row: The row.
        keep_damaged: Also return a row that does not match its checksums, with ``damage`` set.

    Raises:
        CorruptRecordError: The row does not match its checksums.
    """
    latents, positions, patch, text, damage = b"", 0, b"", None, None
    try:
        text = _stored_text(row)
        patch = codec.decode_patch(row.patch, row.id)
        latents, positions = codec.decode_latents(row.latents, row.id)
    except CorruptRecordError as error:
        if not keep_damaged:
            raise
        damage, patch, text = str(error), b"", None
    blobs = (row.latents, row.key, row.patch, row.text)
    return ChunkRecord(
        id=row.id,
        source_id=row.source_id,
        ordinal=row.ordinal,
        start=row.start,
        end=row.end,
        tokens=row.tokens,
        latents=latents,
        positions=positions,
        patch=patch,
        fidelity=row.fidelity,
        text_hash=row.text_hash,
        stored_bytes=sum(len(blob) for blob in blobs if blob),
        text=text,
        embedding=_intact_embedding(row),
        damage=damage,
    )


def _intact_embedding(row: Row[Any]) -> NDArray[np.float32] | None:
    with suppress(CorruptRecordError):
        return codec.decode_embedding(row.key, row.id)
    return None


def _stored_text(row: Row[Any]) -> str | None:
    if row.text is None:
        return None
    if hashlib.sha256(row.text).digest() != row.text_hash:
        raise CorruptRecordError(
            f"the stored text of memory {row.id} does not match its hash: the row is damaged",
            id=row.id,
        )
    return str(row.text, "utf-8")


def read_sources(
    connection: Connection, ids: Iterable[int], *, keep_damaged: bool = False
) -> list[SourceRecord]:
    """Sources in the order of ``ids``; with ``keep_damaged`` also damaged ones, ``damage`` set.

    Raises:
        UnknownIdError: No source has one of the ids.
        CorruptRecordError: The metadata of one cannot be read.
    """
    wanted = [as_id(one) for one in ids]
    found = {row.id: row for row in connection.execute(_SOURCES, given(wanted))}
    _require(wanted, found, "source")
    chunk_ids = source_chunk_ids(connection, wanted)
    return [
        _source_record(found[one], chunk_ids.get(one, ()), keep_damaged=keep_damaged)
        for one in wanted
    ]


def selected_ids(connection: Connection, query: Select[tuple[int]]) -> NDArray[np.int64]:
    """Ids returned by a query, ascending, shape (n,)."""
    found = query.subquery()
    # One JSON text is read four times as fast as one row per id, and filters select many.
    listed = connection.scalar(select(func.json_group_array(found.c.id))) or "[]"
    if listed == "[]":
        return np.empty(0, dtype=np.int64)
    ids: NDArray[np.int64] = np.fromstring(listed[1:-1], sep=",", dtype=np.int64)
    ids.sort()
    return ids


def neighbors(connection: Connection, ids: Iterable[int], reach: int) -> Neighbors:
    """The chunks before and after each in its own scope, and the tokens of all of them.

    Raises:
        UnknownIdError: No chunk has one of the ids.
    """
    wanted = [as_id(one) for one in ids]
    listed = connection.scalar(_NEIGHBORS, {**given(wanted), "reach": reach})
    sides: dict[int, Sides] = {}
    tokens: dict[int, int] = {}
    for id, count, earlier, later in json.loads(listed or "[]"):
        tokens[id] = count
        tokens.update(earlier)
        tokens.update(later)
        sides[id] = (
            tuple(sorted((one for one, _ in earlier), reverse=True)),
            tuple(sorted(one for one, _ in later)),
        )
    _require(wanted, sides, "memory")
    return Neighbors({one: sides[one] for one in wanted}, tokens)


def read_latents(connection: Connection, ids: Iterable[int]) -> list[LatentsRecord]:
    """Latents of chunks in the order of ``ids``; empty where they are damaged.

    Raises:
        UnknownIdError: No chunk has one of the ids.
    """
    wanted = [as_id(one) for one in ids]
    found = {}
    for id, blob, tokens, sealed, name, title in connection.execute(_LATENTS, given(wanted)):
        latents, patch = b"", None
        with suppress(CorruptRecordError):
            latents, _ = codec.decode_latents(blob, id)
        with suppress(CorruptRecordError):
            patch = codec.decode_patch(sealed, id)
        found[id] = LatentsRecord(latents, tokens, patch, name, title)
    _require(wanted, found, "memory")
    return [found[one] for one in wanted]


def episodes(connection: Connection, ids: Iterable[int]) -> dict[int, tuple[int, ...]]:
    """For each chunk, the chunks of its episode including itself, by ascending id.

    Raises:
        UnknownIdError: No chunk has one of the ids.
    """
    wanted = [as_id(one) for one in ids]
    mate = chunks.alias("mate")
    # A row without an episode does not join with any, not even itself.
    together = (mate.c.scope_id == chunks.c.scope_id) & (mate.c.episode == chunks.c.episode)
    query = (
        select(chunks.c.id, mate.c.id.label("mate"))
        .outerjoin(mate, together)
        .where(chunks.c.id.in_(GIVEN))
        .order_by(mate.c.id)
    )
    found = defaultdict(list)
    for row in connection.execute(query, given(wanted)):
        found[row.id].append(row.mate or row.id)
    _require(wanted, found, "memory")
    return {one: tuple(found[one]) for one in wanted}


def last_episode(connection: Connection, scope_id: int, embedding_dims: int) -> Episode | None:
    """The newest episode of a scope, without damaged embeddings; None if it has none."""
    number = connection.scalar(
        select(func.max(chunks.c.episode)).where(chunks.c.scope_id == scope_id)
    )
    if number is None:
        return None
    rows = connection.execute(
        select(chunks.c.id, chunks.c.key, sources.c.created_at)
        .join(sources, sources.c.id == chunks.c.source_id)
        .where(chunks.c.scope_id == scope_id, chunks.c.episode == number)
        .order_by(chunks.c.id)
    ).all()
    times = [row.created_at for row in rows]
    found = Episode(number, 0, np.zeros(embedding_dims), min(times), max(times))
    for row in rows:
        with suppress(CorruptRecordError):
            embedding = codec.decode_embedding(row.key, row.id)
            if embedding.shape == (embedding_dims,):
                found = found.joined(embedding, row.created_at)
    return found


def scope_id_of(connection: Connection, scope: Scope) -> int | None:
    """The id of exactly this scope (None matches only None); None if it has no memories."""
    return connection.scalar(
        select(scopes.c.id).where(
            scopes.c.user_id.is_not_distinct_from(scope.user_id),
            scopes.c.agent_id.is_not_distinct_from(scope.agent_id),
            scopes.c.session_id.is_not_distinct_from(scope.session_id),
        )
    )


def find_known(
    connection: Connection, scope_id: int, hashes: Sequence[bytes]
) -> dict[bytes, Written]:
    """Existing sources of a scope, by content hash."""
    source_ids: dict[bytes, int] = {}
    for first in range(0, len(hashes), _HASH_BATCH):
        part = list(hashes[first : first + _HASH_BATCH])
        rows = connection.execute(
            select(sources.c.content_hash, sources.c.id).where(
                sources.c.scope_id == scope_id, sources.c.content_hash.in_(part)
            )
        )
        source_ids |= {row.content_hash: row.id for row in rows}
    chunk_ids = source_chunk_ids(connection, list(source_ids.values()))
    return {
        content_hash: Written(source_id, chunk_ids.get(source_id, ()), duplicate=True)
        for content_hash, source_id in source_ids.items()
    }


def source_chunk_ids(
    connection: Connection, source_ids: Sequence[int]
) -> dict[int, tuple[int, ...]]:
    """Ids of the chunks of sources, in text order."""
    if not source_ids:
        return {}
    found = defaultdict(list)
    for row in connection.execute(_CHUNKS_OF_SOURCES, given(source_ids)):
        found[row.source_id].append(row.id)
    return {source_id: tuple(ids) for source_id, ids in found.items()}


def _source_record(
    row: Row[Any], chunk_ids: tuple[int, ...], *, keep_damaged: bool
) -> SourceRecord:
    metadata: Mapping[str, Any] = {}
    damage = None
    try:
        metadata = read_metadata(row.metadata)
    except ValueError as error:
        damage = f"the metadata of source {row.id} cannot be read: the row is damaged"
        if not keep_damaged:
            raise CorruptRecordError(damage) from error
    return SourceRecord(
        id=row.id,
        scope=Scope(row.user_id, row.agent_id, row.session_id),
        kind=row.kind,
        role=row.role,
        name=row.name,
        title=row.title,
        uri=row.uri,
        created_at=from_micros(row.created_at),
        added_at=from_micros(row.added_at),
        chars=row.chars,
        chunk_ids=chunk_ids,
        metadata=metadata,
        damage=damage,
    )


def _require(wanted: Sequence[int], found: Mapping[int, object], what: str) -> None:
    missing = [one for one in wanted if one not in found]
    if missing:
        shown = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise UnknownIdError(f"no {what} has the id {shown}")
