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
from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    func,
    literal,
    select,
    tuple_,
)

from agentmem_storage.errors import CorruptRecordError, UnknownIdError
from agentmem_storage.metadata import read_metadata
from agentmem_storage.numbers import as_int
from agentmem_storage.records import (
    ChunkRecord,
    LatentsRecord,
    Page,
    Said,
    Scope,
    Selection,
    SourceRecord,
    Written,
)
from agentmem_storage.sql.logs import replaced
from agentmem_storage.sql.reading.state import list_ids
from agentmem_storage.sql.schema import codec
from agentmem_storage.sql.schema.rows import KINDS
from agentmem_storage.sql.schema.tables import chunks, scopes, sources
from agentmem_storage.sql.where.selection import GIVEN, as_id, given, selected
from agentmem_storage.sql.where.tolerant import Salvaged, read_tolerantly, salvage
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
# Above the place of any chunk in its source.
_LAST = 2**62
_sibling = chunks.alias("sibling")
# Cast, because no blob of a damaged row fits into JSON.
_ordinal = _sibling.c.ordinal.cast(Integer)
_CHUNK_IDS = (
    select(func.json_group_array(func.json_array(_ordinal, _sibling.c.id)))
    .where(_sibling.c.source_id == sources.c.id)
    .correlate(sources)
    .scalar_subquery()
    .label("chunk_ids")
)
# What is read of a source beside its id; no column of ``chunks`` has one of these names.
_OF_SOURCE = (
    *(sources.c.kind, sources.c.role, sources.c.name, sources.c.title, sources.c.uri),
    *(sources.c.created_at, sources.c.added_at, sources.c.chars, sources.c.metadata),
    *(
        sources.c.content_hash,
        sources.c.former,
        sources.c.external_id,
        sources.c.expires_at,
        scopes.c.user_id,
        scopes.c.agent_id,
        scopes.c.session_id,
    ),
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
# The parameter is not needed, but given.
_SCOPE_WORDS: Select[Any] = select(scopes.c.user_id, scopes.c.agent_id, scopes.c.session_id)
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
    found = _chunk_rows(connection, wanted, keep_damaged=keep_damaged)
    require(wanted, found, "memory")
    return [decode_chunk(found[one], keep_damaged=keep_damaged) for one in wanted]


def selected_chunks(
    connection: Connection,
    selection: Selection,
    ids: Sequence[int],
    now: int | None,
    *,
    keep_damaged: bool,
) -> list[ChunkRecord]:
    """Those of the given chunks that are selected, by ascending id; damaged rows as elsewhere."""
    among = ids
    if selection.ids is not None:
        among = list(set(ids).intersection(as_int(one, "id") for one in selection.ids))
    query = selected(replace(selection, ids=tuple(among)), now=now)
    chosen: list[int] = list_ids(connection, query).ids.tolist()
    found = _chunk_rows(connection, chosen, keep_damaged=keep_damaged)
    return [decode_chunk(found[one], keep_damaged=keep_damaged) for one in chosen]


def _chunk_rows(
    connection: Connection, ids: Sequence[int], *, keep_damaged: bool
) -> dict[int, Row[Any] | Salvaged]:
    """Rows of chunks by id, as far as they exist.

    Raises:
        CorruptRecordError: A value has a wrong type, and ``keep_damaged`` is False.
    """
    rows, faults = read_tolerantly(connection, _CHUNKS, ids)
    found: dict[int, Row[Any] | Salvaged] = {row.id: row for row in rows}
    for id, what in faults.items():
        if not keep_damaged:
            raise CorruptRecordError(f"memory {id}: {what}", id=id)
        found[id] = salvage(connection, chunks, id)
    return found


def ids_in_place(
    connection: Connection, selection: Selection, page: Page, now: int | None
) -> list[int]:
    """Ids of the selected chunks in the order of their sources, and of their places in them.

    Raises:
        UnknownIdError: The scope never had the chunk that the page follows, or forgot it.
    """
    query = selected(selection, now=now).limit(page.limit)
    place = (chunks.c.source_id, chunks.c.ordinal)
    if page.after is not None:
        bound = _place_of(connection, selection.scope, page)
        before = tuple_(*place) < bound if page.newest_first else tuple_(*place) > bound
        query = query.where(before)
    order = [one.desc() for one in place] if page.newest_first else place
    return list(connection.scalars(query.order_by(*order)))


def _place_of(connection: Connection, scope: Scope, page: Page) -> ColumnElement[Any]:
    """Where the chunk is that a page follows, or if it was replaced, the end of its source."""
    assert page.after is not None
    after = as_id(page.after)
    query = select(chunks.c.source_id, chunks.c.ordinal)
    of_scope = selected(Selection(scope, ids=(after,), expired=None), now=None)
    row = connection.execute(query.where(chunks.c.id.in_(of_scope))).one_or_none()
    if row is None:
        source_id = replaced.source_of(connection, after)
        of_source = Selection(scope, source_ids=(source_id or 0,), expired=None)
        if not list_ids(connection, selected(of_source, now=None)).ids.size:
            raise UnknownIdError(
                f"no memory of this scope has the id {after}, so no page can follow it: give the "
                f"id of one that is still there"
            )
        return tuple_(literal(source_id), literal(-1 if page.newest_first else _LAST))
    return tuple_(literal(row.source_id), literal(row.ordinal))


def decode_chunk(row: Row[Any] | Salvaged, *, keep_damaged: bool = False) -> ChunkRecord:
    """Convert a row of ``chunks`` to a record.

    Args:
        row: The row.
        keep_damaged: Also return a row that does not match its checksums, with ``damage`` set.

    Raises:
        CorruptRecordError: The row does not match its checksums.
    """
    latents, positions, patch, text, damage = b"", 0, b"", None, None
    try:
        if isinstance(row, Salvaged):
            raise CorruptRecordError(row.damage, id=row.id)
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


def _intact_embedding(row: Row[Any] | Salvaged) -> NDArray[np.float32] | None:
    with suppress(CorruptRecordError):
        return codec.decode_embedding(row.key, row.id)
    return None


def _stored_text(row: Row[Any] | Salvaged) -> str | None:
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
    rows, faults = read_tolerantly(connection, _SOURCES, wanted)
    found = {row.source_id: _source_record(row, keep_damaged=keep_damaged) for row in rows}
    for id, what in faults.items():
        if not keep_damaged:
            raise CorruptRecordError(f"source {id}: {what}")
        found[id] = _salvaged_source(connection, id)
    require(wanted, found, "source")
    return [found[one] for one in wanted]


def present_sources(connection: Connection, ids: Iterable[int]) -> list[int]:
    """Those of the given ids that are of sources, ascending."""
    query = select(sources.c.id).where(sources.c.id.in_(GIVEN)).order_by(sources.c.id)
    return list(connection.scalars(query, given(ids)))


def read_with_sources(
    connection: Connection, ids: Iterable[int], *, keep_damaged: bool = False
) -> list[tuple[ChunkRecord, SourceRecord]]:
    """Chunks in the order of ``ids``, each with its source; damaged rows as in `read_chunks`.

    Raises:
        UnknownIdError: No chunk has one of the ids.
        CorruptRecordError: A row is damaged.
    """
    wanted = [as_id(one) for one in ids]
    intact, faults = read_tolerantly(connection, _WITH_SOURCES, wanted)
    rows = {row.id: row for row in intact}
    if faults or len(rows) < len(set(wanted)):
        return _one_by_one(connection, wanted, keep_damaged=keep_damaged)
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
    rows, faults = read_tolerantly(connection, _LATENTS, wanted)
    found = {id: LatentsRecord(b"", 0, None, None, None) for id in faults}
    for row in rows:
        latents, patch = b"", None
        with suppress(CorruptRecordError):
            latents, _ = codec.decode_latents(row.latents, row.id)
        with suppress(CorruptRecordError):
            patch = codec.decode_patch(row.patch, row.id)
        found[row.id] = LatentsRecord(latents, row.tokens, patch, row.name, row.title)
    require(wanted, found, "memory")
    return [found[one] for one in wanted]


def read_said(connection: Connection, ids: Iterable[int]) -> dict[int, Said]:
    """Who said what and when, by chunk id.

    Of a damaged row, nothing is said, and it repeats no other.

    Raises:
        UnknownIdError: No chunk has one of the ids.
    """
    wanted = [as_id(one) for one in ids]
    rows, faults = read_tolerantly(connection, _SAID, wanted)
    found = {row.id: Said._make(row[1:]) for row in rows}
    lost = [one for one in wanted if one not in found and one not in faults]
    for id in [*faults, *(_strays(connection, lost) if lost else ())]:
        found[id] = Said(f"damaged {id}".encode(), "message", *(None,) * 3, 0, *(None,) * 3)
    require(wanted, found, "memory")
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


def _one_by_one(
    connection: Connection, ids: Sequence[int], *, keep_damaged: bool
) -> list[tuple[ChunkRecord, SourceRecord]]:
    """As `read_with_sources`, for rows of which some are damaged or belong to no source."""
    found = []
    for record in read_chunks(connection, ids, keep_damaged=keep_damaged):
        try:
            (source,) = read_sources(connection, [record.source_id], keep_damaged=keep_damaged)
        except UnknownIdError as error:
            damage = f"memory {record.id} belongs to no source: the row is damaged"
            if not keep_damaged:
                raise CorruptRecordError(damage, id=record.id) from error
            source = _nobodys(record.source_id, damage)
        found.append((record, source))
    return found


def _strays(connection: Connection, ids: Sequence[int]) -> list[int]:
    """Those of the given chunks that exist, whether or not they belong to a source."""
    return list(connection.scalars(select(chunks.c.id).where(chunks.c.id.in_(GIVEN)), given(ids)))


def _salvaged_source(connection: Connection, id: int) -> SourceRecord:
    row = salvage(connection, sources, id)
    scope = scopes.c.id == select(sources.c.scope_id).where(sources.c.id == id).scalar_subquery()
    words, _ = read_tolerantly(connection, _SCOPE_WORDS.where(scope), [id])
    return replace(
        _nobodys(id, row.damage),
        scope=Scope(*words[0]) if words else Scope(),
        **{name: getattr(row, name) for name in ("kind", "role", "name", "title", "uri")},
        chunk_ids=source_chunk_ids(connection, [id]).get(id, ()),
    )


def _nobodys(id: int, damage: str) -> SourceRecord:
    """What stands for a source of which nothing can be read."""
    then = from_micros(0)
    return SourceRecord(
        *(id, Scope(), "message", None, None, None, None, then, then),
        chars=0,
        chunk_ids=(),
        metadata={},
        damage=damage,
    )


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
        expires_at = None if row.expires_at is None else from_micros(row.expires_at)
    except ValueError as error:
        damage = damaged_time(f"source {row.source_id}")
        if not keep_damaged:
            raise CorruptRecordError(damage) from error
        created_at = added_at = from_micros(0)
        expires_at = None
    if row.kind not in KINDS:
        damage = f"the kind of source {row.source_id} is none: the row is damaged"
        if not keep_damaged:
            raise CorruptRecordError(damage)
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
        changed=row.former is not None,
        external_id=row.external_id,
        expires_at=expires_at,
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
