"""Queries that read rows; each function runs inside a given transaction."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, Select, func, select

from agentmem_storage.errors import CorruptRecordError, UnknownIdError
from agentmem_storage.metadata import read_metadata
from agentmem_storage.numbers import as_int
from agentmem_storage.records import (
    ChunkRecord,
    LatentsRecord,
    Said,
    Scope,
    Selection,
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
_SAID = (
    select(
        chunks.c.id,
        chunks.c.text_hash,
        *(sources.c.kind, sources.c.role, sources.c.name, sources.c.title, sources.c.created_at),
        *(scopes.c.user_id, scopes.c.agent_id, scopes.c.session_id),
    )
    .join(sources, sources.c.id == chunks.c.source_id)
    .join(scopes, scopes.c.id == chunks.c.scope_id)
    .where(chunks.c.id.in_(GIVEN))
)
_sibling = chunks.alias("sibling")
_CHUNK_IDS = (
    select(func.json_group_array(func.json_array(_sibling.c.ordinal, _sibling.c.id)))
    .where(_sibling.c.source_id == sources.c.id)
    .correlate(sources)
    .scalar_subquery()
    .label("chunk_ids")
)
# What is read of a source beside its id; no column of ``chunks`` has one of these names.
_OF_SOURCE = (
    *(sources.c.kind, sources.c.role, sources.c.name, sources.c.title, sources.c.uri),
    *(sources.c.created_at, sources.c.added_at, sources.c.chars, sources.c.metadata),
    *(sources.c.content_hash, scopes.c.user_id, scopes.c.agent_id, scopes.c.session_id),
    _CHUNK_IDS,
)
_SOURCES: Select[Any] = (
    select(sources.c.id.label("source_id"), *_OF_SOURCE)
    .join(scopes, scopes.c.id == sources.c.scope_id)
    .where(sources.c.id.in_(GIVEN))
)
_WITH_SOURCES: Select[Any] = (
    select(chunks, *_OF_SOURCE)
    .join_from(chunks, sources, sources.c.id == chunks.c.source_id)
    .join(scopes, scopes.c.id == sources.c.scope_id)
    .where(chunks.c.id.in_(GIVEN))
)
_CHUNKS_OF_SOURCES = (
    select(chunks.c.source_id, chunks.c.id)
    .where(chunks.c.source_id.in_(GIVEN))
    .order_by(chunks.c.source_id, chunks.c.ordinal)
)


def read_chunks(
    connection: Connection, ids: Iterable[int], *, keep_damaged: bool = False
) -> list[ChunkRecord]:
    """Chunks in the order of ``ids``; see `decode_chunk` for damaged rows.

    Raises:
        UnknownIdError: No chunk has one of the ids.
        CorruptRecordError: A row does not match its checksums.
    """
    wanted = [as_id(one) for one in ids]
    found = {row.id: row for row in connection.execute(_CHUNKS, given(wanted)).all()}
    require(wanted, found, "memory")
    return [decode_chunk(found[one], keep_damaged=keep_damaged) for one in wanted]


def selected_rows(
    connection: Connection, selection: Selection, ids: Sequence[int]
) -> Sequence[Row[Any]]:
    """Rows of those of the given chunks that are selected, by ascending id."""
    among = ids
    if selection.ids is not None:
        among = list(set(ids).intersection(as_int(one, "id") for one in selection.ids))
    query = selected(replace(selection, ids=tuple(among)))
    return connection.execute(
        select(chunks).where(chunks.c.id.in_(query)).order_by(chunks.c.id)
    ).all()


def ids_in_place(connection: Connection, selection: Selection) -> list[int]:
    """Ids of the selected chunks in the order of their sources, and of their places in them."""
    query = selected(selection).order_by(chunks.c.source_id, chunks.c.ordinal)
    return list(connection.scalars(query))


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
    found = {row.source_id: row for row in connection.execute(_SOURCES, given(wanted)).all()}
    require(wanted, found, "source")
    return [_source_record(found[one], keep_damaged=keep_damaged) for one in wanted]


def read_with_sources(
    connection: Connection, ids: Iterable[int], *, keep_damaged: bool = False
) -> list[tuple[ChunkRecord, SourceRecord]]:
    """Chunks in the order of ``ids``, each with its source; damaged rows as in `read_chunks`.

    Raises:
        UnknownIdError: No chunk has one of the ids.
        CorruptRecordError: A row is damaged.
    """
    wanted = [as_id(one) for one in ids]
    rows = {row.id: row for row in connection.execute(_WITH_SOURCES, given(wanted)).all()}
    require(wanted, rows, "memory")
    of: dict[int, SourceRecord] = {}
    for row in rows.values():
        if row.source_id not in of:
            of[row.source_id] = _source_record(row, keep_damaged=keep_damaged)
    return [
        (decode_chunk(rows[one], keep_damaged=keep_damaged), of[rows[one].source_id])
        for one in wanted
    ]


def read_latents(connection: Connection, ids: Iterable[int]) -> list[LatentsRecord]:
    """Latents of chunks in the order of ``ids``; empty where they are damaged.

    Raises:
        UnknownIdError: No chunk has one of the ids.
    """
    wanted = [as_id(one) for one in ids]
    found = {}
    for id, blob, tokens, sealed, name, title in connection.execute(_LATENTS, given(wanted)).all():
        latents, patch = b"", None
        with suppress(CorruptRecordError):
            latents, _ = codec.decode_latents(blob, id)
        with suppress(CorruptRecordError):
            patch = codec.decode_patch(sealed, id)
        found[id] = LatentsRecord(latents, tokens, patch, name, title)
    require(wanted, found, "memory")
    return [found[one] for one in wanted]


def read_said(connection: Connection, ids: Iterable[int]) -> dict[int, Said]:
    """Who said what and when, by chunk id.

    Raises:
        UnknownIdError: No chunk has one of the ids.
        CorruptRecordError: The time of one's source is damaged.
    """
    wanted = [as_id(one) for one in ids]
    rows = connection.execute(_SAID, given(wanted)).all()
    found = {id: Said(*said) for id, *said in rows}
    require(wanted, found, "memory")
    for id, said in found.items():
        if not isinstance(said.created_at, int):
            raise CorruptRecordError(damaged_time(f"memory {id}"))
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


def written_sources(connection: Connection, ids: Sequence[int]) -> dict[int, Written]:
    """Stored sources by id, as duplicates of new ones."""
    chunk_ids = source_chunk_ids(connection, ids)
    return {one: Written(one, chunk_ids.get(one, ()), duplicate=True) for one in ids}


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


def _source_record(row: Row[Any], *, keep_damaged: bool) -> SourceRecord:
    metadata: Mapping[str, Any] = {}
    damage = None
    try:
        metadata = read_metadata(row.metadata)
    except ValueError as error:
        damage = f"the metadata of source {row.source_id} cannot be read: the row is damaged"
        if not keep_damaged:
            raise CorruptRecordError(damage) from error
    try:
        created_at, added_at = from_micros(row.created_at), from_micros(row.added_at)
    except ValueError as error:
        damage = damaged_time(f"source {row.source_id}")
        if not keep_damaged:
            raise CorruptRecordError(damage) from error
        created_at = added_at = from_micros(0)
    return SourceRecord(
        id=row.source_id,
        scope=Scope(row.user_id, row.agent_id, row.session_id),
        kind=row.kind,
        role=row.role,
        name=row.name,
        title=row.title,
        uri=row.uri,
        created_at=created_at,
        added_at=added_at,
        chars=row.chars,
        chunk_ids=tuple(id for _, id in sorted(json.loads(row.chunk_ids))),
        metadata=metadata,
        damage=damage,
        content_hash=row.content_hash,
    )


def damaged_time(what: str) -> str:
    """What is wrong with a row whose time cannot be read."""
    return f"the time of {what} cannot be read: the row is damaged"


def require(wanted: Sequence[int], found: Mapping[int, object], what: str) -> None:
    """Check that all wanted rows were found.

    Raises:
        UnknownIdError: Some were not.
    """
    missing = [one for one in wanted if one not in found]
    if missing:
        shown = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise UnknownIdError(f"no {what} has the id {shown}")
