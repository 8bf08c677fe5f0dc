"""Sums over the rows of a store."""

from __future__ import annotations

from itertools import pairwise

from sqlalchemy import Connection, and_, func, select

from agentmem_storage.records import FIDELITY_EDGES, Scope, ScopeStats, StoreStats
from agentmem_storage.sql import codec
from agentmem_storage.sql.tables import chunks, scopes, sources


def stats(connection: Connection, file_bytes: int) -> StoreStats:
    """Add a store up; the size of its files is the caller's to tell."""
    fidelity = chunks.c.fidelity
    in_bin = [
        *(and_(fidelity >= low, fidelity < high) for low, high in pairwise(FIDELITY_EDGES)),
        fidelity >= FIDELITY_EDGES[-1],
    ]
    sums = [
        chunks.c.tokens,
        func.length(chunks.c.latents),
        func.length(chunks.c.patch),
        func.length(chunks.c.key),
        func.length(chunks.c.text),
    ]
    row = connection.execute(
        select(
            func.count(),
            *(func.coalesce(func.sum(one), 0) for one in sums),
            *(func.count().filter(one) for one in in_bin),
        ).select_from(chunks)
    ).one()
    return StoreStats(
        chunks=row[0],
        sources=connection.scalar(select(func.count()).select_from(sources)) or 0,
        scopes=connection.scalar(select(func.count()).select_from(scopes)) or 0,
        tokens=row[1],
        positions=_positions(connection),
        latent_bytes=row[2],
        patch_bytes=row[3],
        key_bytes=row[4],
        text_bytes=row[5],
        file_bytes=file_bytes,
        fidelity=tuple(row[1 + len(sums) :]),
    )


def _positions(connection: Connection) -> int:
    """The sum of M over all chunks, from the few different heads that their latents have."""
    count = func.substr(chunks.c.latents, 1, codec.COUNT_BYTES).label("count")
    rows = connection.execute(select(count, func.count()).group_by(count)).all()
    return sum(codec.latents_positions(head) * count for head, count in rows)


def scope_list(connection: Connection) -> list[ScopeStats]:
    """Every scope with its numbers of sources and chunks, in the order of first use."""
    chunk_count = select(func.count()).where(chunks.c.scope_id == scopes.c.id).scalar_subquery()
    source_count = select(func.count()).where(sources.c.scope_id == scopes.c.id).scalar_subquery()
    query = select(
        scopes.c.user_id,
        scopes.c.agent_id,
        scopes.c.session_id,
        source_count.label("sources"),
        chunk_count.label("chunks"),
    ).order_by(scopes.c.id)
    return [
        ScopeStats(Scope(row.user_id, row.agent_id, row.session_id), row.sources, row.chunks)
        for row in connection.execute(query)
    ]
