"""Chunks by their ids, or as they are listed; each function runs inside a transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Row, literal, select, tuple_

from agentmem_storage.errors import CorruptRecordError, UnknownIdError
from agentmem_storage.numbers import as_int
from agentmem_storage.records import ChunkRecord, LatentsRecord, Page, Said, Scope, Selection
from agentmem_storage.sql.logs import replaced
from agentmem_storage.sql.reading.state import list_ids
from agentmem_storage.sql.schema import codec
from agentmem_storage.sql.schema.tables import chunks, scopes, sources
from agentmem_storage.sql.where.selection import GIVEN, as_id, given, selected
from agentmem_storage.sql.where.tolerant import Salvaged, read_tolerantly, require, salvage

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


def _strays(connection: Connection, ids: Sequence[int]) -> list[int]:
    """Those of the given chunks that exist, whether or not they belong to a source."""
    return list(connection.scalars(select(chunks.c.id).where(chunks.c.id.in_(GIVEN)), given(ids)))
