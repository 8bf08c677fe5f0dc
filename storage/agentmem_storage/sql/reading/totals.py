"""Totals and counts over the rows of a store."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select, type_coerce
from sqlalchemy.types import NullType

from agentmem_storage.records import (
    ANY_SCOPE,
    FIDELITY_EDGES,
    Scope,
    ScopeStats,
    SelectionSums,
    StoreStats,
)
from agentmem_storage.sql.schema import codec
from agentmem_storage.sql.schema.tables import chunks, scopes, sources
from agentmem_storage.sql.where.expiry import has_expired, is_alive
from agentmem_storage.sql.where.selection import scope_conditions
from agentmem_storage.timestamps import from_micros

_owner, _part = sources.alias("owner"), chunks.alias("part")
_HAS_SOURCE = chunks.c.source_id.in_(select(_owner.c.id))
_HAS_CHUNKS = sources.c.id.in_(select(_part.c.source_id))


def stats(
    connection: Connection,
    scope: Scope,
    *,
    now: int | None,
    gaps: bool,
    file_bytes: int | None,
    states_bytes: int | None,
) -> StoreStats:
    """Totals of a scope, or of the store, without what has expired.

    Args:
        connection: A transaction.
        scope: The scope.
        now: As in `agentmem_storage.sql.where.selection.selected`.
        gaps: Whether rows may be missing, as `Database.has_gaps` has it; what they belong to
            is not counted, as it is not listed.
        file_bytes: The size of the files, as the caller knows it.
        states_bytes: Likewise, of the cache of states.
    """
    fidelity = chunks.c.fidelity
    in_bin = [
        *(and_(fidelity >= low, fidelity < high) for low, high in pairwise(FIDELITY_EDGES)),
        fidelity >= FIDELITY_EDGES[-1],
    ]
    sizes = [
        chunks.c.tokens,
        func.length(chunks.c.latents),
        func.length(chunks.c.patch),
        func.length(chunks.c.key),
        func.length(chunks.c.text),
    ]
    conditions = scope_conditions(scope)
    ids = select(scopes.c.id).where(*conditions)
    of_chunks: list[ColumnElement[bool]] = []
    of_sources: list[ColumnElement[bool]] = []
    if conditions:
        of_chunks.append(chunks.c.scope_id.in_(ids))
        of_sources.append(sources.c.scope_id.in_(ids))
    counted = select(scopes.c.id).where(*conditions)
    if now is not None:
        of_chunks.append(is_alive(chunks.c.source_id, now))
        of_sources.append(~has_expired(now))
        left = select(sources.c.scope_id).where(~has_expired(now))
        counted = counted.where(scopes.c.id.in_(left))
    if gaps:
        of_chunks.append(_HAS_SOURCE)
        of_sources.append(_HAS_CHUNKS)
    among = select(chunks.c.id).where(*of_chunks) if of_chunks else None
    row = connection.execute(
        select(
            func.count(),
            *(func.coalesce(func.sum(one), 0) for one in sizes),
            *(func.count().filter(one) for one in in_bin),
        )
        .select_from(chunks)
        .where(*of_chunks)
    ).one()
    count_sources = select(func.count()).select_from(sources).where(*of_sources)
    return StoreStats(
        chunks=row[0],
        sources=connection.scalar(count_sources) or 0,
        scopes=connection.scalar(select(func.count()).select_from(counted.subquery())) or 0,
        tokens=row[1],
        positions=sums(connection, among).positions,
        latent_bytes=row[2],
        patch_bytes=row[3],
        embedding_bytes=row[4],
        text_bytes=row[5],
        file_bytes=file_bytes,
        states_bytes=states_bytes,
        fidelity=tuple(row[1 + len(sizes) :]),
    )


def of_whole(ids: Select[tuple[int]]) -> Select[tuple[int]]:
    """Of a query for the ids of chunks, those whose source is there."""
    return ids.where(_HAS_SOURCE)


def count(connection: Connection, ids: Select[tuple[int]]) -> int:
    """Number of ids that a query returns."""
    return connection.scalar(select(func.count()).select_from(ids.subquery())) or 0


def sums(connection: Connection, ids: Select[tuple[int]] | None = None) -> SelectionSums:
    """Totals of the chunks whose ids a query returns, or of all chunks.

    M is read from the first bytes of the latents, of which there are few distinct values.
    """
    head = func.substr(chunks.c.latents, 1, codec.COUNT_BYTES).label("head")
    query = select(head, func.count().label("chunks"), func.sum(chunks.c.tokens).label("tokens"))
    if ids is not None:
        query = query.where(chunks.c.id.in_(ids))
    rows = connection.execute(query.group_by(head)).all()
    return SelectionSums(
        chunks=sum(row.chunks for row in rows),
        tokens=sum(row.tokens for row in rows),
        positions=sum(codec.latents_positions(row.head) * row.chunks for row in rows),
    )


def scope_list(
    connection: Connection, scope: Scope = ANY_SCOPE, *, now: int | None, gaps: bool
) -> list[ScopeStats]:
    """All scopes within one, with what they have that has not expired, in order of first use.

    The arguments are those of `stats`.
    """
    of_chunks: list[ColumnElement[bool]] = [chunks.c.scope_id == scopes.c.id]
    of_sources: list[ColumnElement[bool]] = [sources.c.scope_id == scopes.c.id]
    if now is not None:
        of_chunks.append(is_alive(chunks.c.source_id, now))
        of_sources.append(~has_expired(now))
    if gaps:
        of_chunks.append(_HAS_SOURCE)
        of_sources.append(_HAS_CHUNKS)
    chunk_count = select(func.count()).where(*of_chunks).scalar_subquery()
    source_count = select(func.count()).where(*of_sources).scalar_subquery()
    # Untyped: a damaged time hides no scope.
    newest = type_coerce(func.max(sources.c.added_at), NullType())
    last = select(newest).where(*of_sources)
    query = (
        select(
            scopes.c.user_id,
            scopes.c.agent_id,
            scopes.c.session_id,
            source_count.label("sources"),
            chunk_count.label("chunks"),
            last.scalar_subquery().label("last"),
        )
        .where(*scope_conditions(scope))
        .order_by(scopes.c.id)
    )
    return [
        ScopeStats(
            Scope(row.user_id, row.agent_id, row.session_id),
            row.sources,
            row.chunks,
            _moment(row.last),
        )
        for row in connection.execute(query)
        if row.sources or now is None
    ]


def _moment(micros: int) -> datetime | None:
    try:
        return from_micros(micros)
    except ValueError:
        return None
