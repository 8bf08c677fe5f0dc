"""Reads whole sources for an archive, just as they are stored, and refuses damaged ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from agentmem_storage.archive.records import (
    HASH_BYTES,
    ArchivedChunk,
    ArchivedLink,
    ArchivedSource,
)
from agentmem_storage.errors import CorruptRecordError
from agentmem_storage.records import Selection
from agentmem_storage.shield import raise_if_abandoned
from agentmem_storage.sql.schema import codec, sums
from agentmem_storage.sql.schema.tables import chunks, scopes, sources
from agentmem_storage.sql.schema.tables import links as links_table
from agentmem_storage.sql.where.selection import GIVEN, id_list, selected
from agentmem_storage.sql.where.tolerant import read_tolerantly
from agentmem_storage.sql.writing import links

_BATCH = 64
_SOURCES: Select[Any] = (
    select(sources, scopes.c.user_id, scopes.c.agent_id, scopes.c.session_id)
    .join(scopes, scopes.c.id == sources.c.scope_id)
    .where(sources.c.id.in_(GIVEN))
    .order_by(sources.c.id)
)
_CHUNKS = (
    select(chunks)
    .where(chunks.c.source_id.in_(GIVEN))
    .order_by(chunks.c.source_id, chunks.c.ordinal)
)
_WAY_OUT = "restore it from a backup, or forget it, and export again"


def chosen_sources(
    connection: Connection, selection: Selection, without: Selection | None, now: int | None
) -> list[int]:
    """Ids of the sources of which a chunk is selected, and none is left out, ascending.

    What has expired by ``now``, as `agentmem_storage.sql.where.selection.selected` takes it, is
    not.

    Raises:
        FilterError: A filter is malformed.
    """
    query = (
        select(chunks.c.source_id).where(chunks.c.id.in_(selected(selection, now=now))).distinct()
    )
    if without is not None:
        left_out = select(chunks.c.source_id).where(chunks.c.id.in_(selected(without, now=now)))
        query = query.where(chunks.c.source_id.not_in(left_out))
    return sorted(connection.scalars(query))


def count_chunks(connection: Connection, source_ids: Sequence[int]) -> int:
    """Number of chunks of sources."""
    query = select(func.count()).select_from(chunks)
    return int(connection.scalar(query.where(chunks.c.source_id.in_(id_list(source_ids)))) or 0)


def links_among(connection: Connection, source_ids: Sequence[int]) -> list[ArchivedLink]:
    """The links between sources, by their indices in the list.

    Raises:
        CorruptRecordError: A link is damaged.
    """
    for fault in links.faults(connection):
        raise CorruptRecordError(f"{fault}; restore the store from a backup, and export again")
    indices = {id: place for place, id in enumerate(source_ids)}
    rows = connection.execute(select(links_table)).all()
    found = [
        ArchivedLink(indices[row.old_id], indices[row.new_id], row.score, row.linked_at)
        for row in rows
        if row.old_id in indices and row.new_id in indices
    ]
    return sorted(found, key=lambda link: (link.old, link.new))


def read_archived(connection: Connection, source_ids: Sequence[int]) -> Iterator[ArchivedSource]:
    """Sources with all their chunks, in the order of the ids, which ascend.

    Raises:
        CorruptRecordError: One is damaged, or lacks its scope or its chunks; names it.
    """
    episodes: dict[tuple[int, int], int] = {}
    numbers: dict[int, int] = {}
    for first in range(0, len(source_ids), _BATCH):
        raise_if_abandoned()
        part = source_ids[first : first + _BATCH]
        rows, faults = read_tolerantly(connection, _SOURCES, part)
        for id, groups in sums.damaged(connection, part).items():
            faults.setdefault(id, f"{sums.NAMES[min(groups)]} does not match its checksum")
        for id in sorted(faults):
            raise CorruptRecordError(f"source {id} is damaged: {faults[id]}; {_WAY_OUT}")
        of = _chunks_of(connection, part)
        if lost := set(part).difference([row.id for row in rows]).union(set(part).difference(of)):
            raise CorruptRecordError(f"source {min(lost)} is damaged: it is incomplete; {_WAY_OUT}")
        for row in rows:
            made = []
            for chunk in of[row.id]:
                number = None
                if chunk.episode is not None:
                    key = row.scope_id, chunk.episode
                    if key not in episodes:
                        episodes[key] = numbers[row.scope_id] = numbers.get(row.scope_id, 0) + 1
                    number = episodes[key]
                made.append(_archived_chunk(chunk, number))
            yield _archived_source(row, tuple(made))


def _chunks_of(connection: Connection, source_ids: Sequence[int]) -> dict[int, list[Row[Any]]]:
    found: dict[int, list[Row[Any]]] = {}
    rows, faults = read_tolerantly(connection, _CHUNKS, source_ids)
    for id in sorted(faults):
        raise CorruptRecordError(f"a memory of source {id}: {faults[id]}; {_WAY_OUT}")
    for row in rows:
        found.setdefault(row.source_id, []).append(row)
    return found


def _archived_source(row: Row[Any], made: tuple[ArchivedChunk, ...]) -> ArchivedSource:
    return ArchivedSource(
        user_id=row.user_id,
        agent_id=row.agent_id,
        session_id=row.session_id,
        kind=row.kind,
        role=row.role,
        name=row.name,
        title=row.title,
        uri=row.uri,
        created_at=row.created_at,
        added_at=row.added_at,
        chars=row.chars,
        content_hash=row.content_hash,
        metadata=row.metadata,
        changed=row.former is not None,
        external_id=row.external_id,
        expires_at=row.expires_at,
        chunks=made,
    )


def _archived_chunk(row: Row[Any], episode: int | None) -> ArchivedChunk:
    try:
        codec.decode_latents(row.latents, row.id)
        codec.decode_embedding(row.key, row.id)
        codec.decode_patch(row.patch, row.id)
        if len(row.text_hash) != HASH_BYTES:
            raise CorruptRecordError(f"memory {row.id} has no text hash", id=row.id)
        if row.text is not None and hashlib.sha256(row.text).digest() != row.text_hash:
            raise CorruptRecordError(f"the stored text of memory {row.id} is damaged", id=row.id)
    except CorruptRecordError as error:
        raise CorruptRecordError(f"{error}; {_WAY_OUT}", id=row.id) from error
    return ArchivedChunk(
        ordinal=row.ordinal,
        start=row.start,
        end=row.end,
        tokens=row.tokens,
        episode=episode,
        fidelity=row.fidelity,
        text_hash=row.text_hash,
        key=row.key,
        latents=row.latents,
        patch=row.patch,
        text=row.text,
    )
