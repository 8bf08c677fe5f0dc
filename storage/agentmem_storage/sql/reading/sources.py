"""Sources by their ids, and which chunks each has; each function runs inside a transaction."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Integer, Row, Select, func, select

from agentmem_storage.errors import CorruptRecordError
from agentmem_storage.metadata import read_metadata
from agentmem_storage.records import Scope, SourceRecord, Written
from agentmem_storage.sql.schema.rows import KINDS
from agentmem_storage.sql.schema.tables import chunks, scopes, sources
from agentmem_storage.sql.where.selection import GIVEN, as_id, given
from agentmem_storage.sql.where.tolerant import read_tolerantly, require, salvage
from agentmem_storage.timestamps import from_micros

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
OF_SOURCE = (
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
    select(sources.c.id.label("source_id"), *OF_SOURCE)
    .join(scopes, scopes.c.id == sources.c.scope_id)
    .where(sources.c.id.in_(GIVEN))
)
# The parameter is not needed, but given.
_SCOPE_WORDS: Select[Any] = select(scopes.c.user_id, scopes.c.agent_id, scopes.c.session_id)
_CHUNKS_OF_SOURCES = (
    select(chunks.c.source_id, chunks.c.id)
    .where(chunks.c.source_id.in_(GIVEN))
    .order_by(chunks.c.source_id, chunks.c.ordinal)
)


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
    found = {row.source_id: source_record(row, keep_damaged=keep_damaged) for row in rows}
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


def _salvaged_source(connection: Connection, id: int) -> SourceRecord:
    row = salvage(connection, sources, id)
    scope = scopes.c.id == select(sources.c.scope_id).where(sources.c.id == id).scalar_subquery()
    words, _ = read_tolerantly(connection, _SCOPE_WORDS.where(scope), [id])
    return replace(
        nobodys(id, row.damage),
        scope=Scope(*words[0]) if words else Scope(),
        **{name: getattr(row, name) for name in ("kind", "role", "name", "title", "uri")},
        chunk_ids=source_chunk_ids(connection, [id]).get(id, ()),
    )


def nobodys(id: int, damage: str) -> SourceRecord:
    """What stands for a source of which nothing can be read."""
    then = from_micros(0)
    return SourceRecord(
        *(id, Scope(), "message", None, None, None, None, then, then),
        chars=0,
        chunk_ids=(),
        metadata={},
        damage=damage,
    )


def source_record(row: Row[Any], *, keep_damaged: bool) -> SourceRecord:
    """Convert a row of `OF_SOURCE` and a ``source_id`` to a record.

    Raises:
        CorruptRecordError: A value cannot be read, and ``keep_damaged`` is False.
    """
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
