"""Chunks by their ids, each with its source, in one query if no row is damaged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Select, select

from agentmem_storage.errors import CorruptRecordError, UnknownIdError
from agentmem_storage.records import ChunkRecord, SourceRecord
from agentmem_storage.sql.reading.chunks import decode_chunk, read_chunks
from agentmem_storage.sql.reading.sources import OF_SOURCE, nobodys, read_sources, source_record
from agentmem_storage.sql.schema.tables import chunks, scopes, sources
from agentmem_storage.sql.where.selection import GIVEN, as_id
from agentmem_storage.sql.where.tolerant import read_tolerantly

_WITH_SOURCES: Select[Any] = (
    select(chunks, *OF_SOURCE)
    .join_from(chunks, sources, sources.c.id == chunks.c.source_id)
    .join(scopes, scopes.c.id == sources.c.scope_id)
    .where(chunks.c.id.in_(GIVEN))
)


def read_with_sources(
    connection: Connection,
    ids: Iterable[int],
    *,
    keep_damaged: bool = False,
    skip_orphans: bool = False,
) -> list[tuple[ChunkRecord, SourceRecord]]:
    """Chunks in the order of ``ids``, each with its source; damaged rows as in `read_chunks`.

    Args:
        connection: A transaction.
        ids: Chunk ids.
        keep_damaged: As in `read_chunks`.
        skip_orphans: Leave out chunks that belong to no source; otherwise these are damaged.

    Raises:
        UnknownIdError: No chunk has one of the ids.
        CorruptRecordError: A row is damaged.
    """
    wanted = [as_id(one) for one in ids]
    intact, faults = read_tolerantly(connection, _WITH_SOURCES, wanted)
    rows = {row.id: row for row in intact}
    if faults or len(rows) < len(set(wanted)):
        return _one_by_one(connection, wanted, keep_damaged=keep_damaged, skip_orphans=skip_orphans)
    of: dict[int, SourceRecord] = {}
    for row in rows.values():
        if row.source_id not in of:
            of[row.source_id] = source_record(row, keep_damaged=keep_damaged)
    return [
        (decode_chunk(rows[one], keep_damaged=keep_damaged), of[rows[one].source_id])
        for one in wanted
    ]


def _one_by_one(
    connection: Connection, ids: Sequence[int], *, keep_damaged: bool, skip_orphans: bool
) -> list[tuple[ChunkRecord, SourceRecord]]:
    """As `read_with_sources`, for rows of which some are damaged or belong to no source."""
    found = []
    for record in read_chunks(connection, ids, keep_damaged=keep_damaged):
        try:
            (source,) = read_sources(connection, [record.source_id], keep_damaged=keep_damaged)
        except UnknownIdError as error:
            if skip_orphans:
                continue
            damage = f"memory {record.id} belongs to no source: the row is damaged"
            if not keep_damaged:
                raise CorruptRecordError(damage, id=record.id) from error
            source = nobodys(record.source_id, damage)
        found.append((record, source))
    return found
