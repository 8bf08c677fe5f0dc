"""The chunks said just before and after others.

The chunks of a scope are in the order of the times of their sources; those of one time are in the
order in which they were written, and those of one source in text order.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Select,
    Text,
    bindparam,
    case,
    func,
    select,
)

from agentmem_storage.records import Neighbors, Sides, Turn
from agentmem_storage.sql.schema.tables import chunks, scopes, sources
from agentmem_storage.sql.where.selection import GIVEN, given
from agentmem_storage.sql.where.tolerant import require

# To look up the neighbors of one chunk takes as long as to list so many chunks of its scope.
_LISTED_PER_LOOKUP = 16
_DOCUMENT = "document"
# Of a text's hash: those that agree in them are compared in full.
_HASH_DIGITS = 12


def neighbors(
    connection: Connection, ids: Sequence[int], reach: int, held: int, now: int | None
) -> Neighbors:
    """Up to ``reach`` chunks on each side of each, and what is known of all of them.

    Args:
        connection: A transaction.
        ids: Chunk ids.
        reach: Maximum number on each side.
        held: The number of chunks that their scopes have at most.
        now: As in `agentmem_storage.sql.where.selection.selected`; what has expired is no neighbor.

    Raises:
        UnknownIdError: No chunk has one of the ids.
    """
    if not ids:
        return Neighbors({}, {})
    find = by_listing if held <= _LISTED_PER_LOOKUP * len(ids) else by_lookup
    found = find(connection, ids, reach, now)
    require(ids, found.sides, "memory")
    return found


def by_listing(
    connection: Connection, ids: Sequence[int], reach: int, now: int | None = None
) -> Neighbors:
    """Neighbors from a list of all chunks of the scopes of the given ones."""
    wanted = set(ids)
    sides: dict[int, Sides] = {}
    rows: dict[int, Turn] = {}
    scopes: dict[int, list[int]] = {}
    for scope, id, *turn in connection.execute(
        _listing(now is not None), {**given(ids), "now": now}
    ).all():
        scopes.setdefault(scope, []).append(id)
        rows[id] = Turn(*turn)
    near = set(wanted)
    for listed in scopes.values():
        for at, id in enumerate(listed):
            if id in wanted:
                before, after = listed[max(0, at - reach) : at], listed[at + 1 : at + 1 + reach]
                sides[id] = tuple(before[::-1]), tuple(after)
                near.update(before, after)
    return Neighbors(sides, {id: rows[id] for id in near if id in rows})


def by_lookup(
    connection: Connection, ids: Sequence[int], reach: int, now: int | None = None
) -> Neighbors:
    """Neighbors of each of the given chunks, whatever else their scopes hold."""
    values = {**given(ids), "reach": reach, "now": now}
    found = [
        # Those of another time are farther away.
        (
            id,
            before if len(before) == reach else before + earlier,
            after if len(after) == reach else after + later,
        )
        for id, before, earlier, after, later in json.loads(
            connection.scalar(_lookups(now is not None), values) or "[]"
        )
    ]
    # Most are near several of the chunks, and are read once.
    near = {one for id, *sides in found for one in chain((id,), *sides)}
    turns: dict[int, Turn] = {}
    places: dict[int, tuple[int, ...]] = {}
    for id, ordinal, *turn in json.loads(connection.scalar(_reading(), given(near)) or "[]"):
        turns[id] = one = Turn(*turn)
        places[id] = one.time, one.source, ordinal
    sides: dict[int, Sides] = {}
    for id, before, after in found:
        back = sorted(before, key=places.__getitem__, reverse=True)
        on = sorted(after, key=places.__getitem__)
        sides[id] = tuple(back[:reach]), tuple(on[:reach])
    return Neighbors(sides, turns)


def _turn() -> tuple[ColumnElement[Any], ...]:
    """The fields of `Turn`, of chunks joined with their sources and scopes.

    Numbers and hex digits whatever there is, for a damaged row must not hide its neighbors.
    """
    text = func.substr(func.hex(chunks.c.text_hash, type_=Text), 1, _HASH_DIGITS, type_=Text)
    return (
        chunks.c.tokens.cast(Integer),
        sources.c.id,
        sources.c.created_at.cast(Integer),
        case((sources.c.kind != _DOCUMENT, _hex(sources.c.name, sources.c.role))),
        text + _hex(scopes.c.user_id) + "/" + _hex(scopes.c.agent_id),
    )


def _hex(*values: ColumnElement[Any]) -> ColumnElement[str]:
    """The first of some texts that is not NULL, in hex digits."""
    return func.hex(func.coalesce(*values, ""), type_=Text)


def _alive(source: FromClause, expiring: bool) -> list[ColumnElement[bool]]:
    """The condition that a source has not expired, where some have."""
    now = bindparam("now", type_=Integer)
    return [source.c.expires_at.is_(None) | (source.c.expires_at > now)] if expiring else []


# Each is made at its first use. Most stores have nothing that expires, and these conditions read
# more than an index.
@cache
def _listing(expiring: bool) -> Select[Any]:
    """The chunks of the scopes of the given ones, in order.

    Args:
        expiring: Whether some sources have expired.
    """
    return (
        select(sources.c.scope_id, chunks.c.id, *_turn())
        .join_from(sources, chunks, chunks.c.source_id == sources.c.id)
        .outerjoin(scopes, scopes.c.id == sources.c.scope_id)
        .where(
            sources.c.scope_id.in_(select(chunks.c.scope_id).where(chunks.c.id.in_(GIVEN))),
            *_alive(sources, expiring),
        )
        .order_by(sources.c.scope_id, sources.c.created_at, sources.c.id, chunks.c.ordinal)
    )


@cache
def _lookups(expiring: bool) -> Select[Any]:
    """For each given chunk, the ids of its neighbors on each side.

    Each side has two lists, of up to ``reach`` chunks: those of the same time, and those of other
    times. One condition for both could not use the index, and long imports have one time.

    Args:
        expiring: As for `_listing`.
    """
    near, reach = chunks.alias("near"), bindparam("reach", type_=Integer)
    source = sources.alias("source")
    order = (source.c.created_at, source.c.id, near.c.ordinal)
    same_scope = (
        select(near.c.id)
        .join_from(source, near, near.c.source_id == source.c.id)
        .where(source.c.scope_id == chunks.c.scope_id, *_alive(source, expiring))
    )
    same_time = same_scope.where(source.c.created_at == sources.c.created_at)
    other_source = source.c.id != sources.c.id
    backwards, forwards = [one.desc() for one in order], list(order)
    sides = (
        same_time.where(
            source.c.id <= sources.c.id, other_source | (near.c.ordinal < chunks.c.ordinal)
        ).order_by(*backwards),
        same_scope.where(source.c.created_at < sources.c.created_at).order_by(*backwards),
        same_time.where(
            source.c.id >= sources.c.id, other_source | (near.c.ordinal > chunks.c.ordinal)
        ).order_by(*forwards),
        same_scope.where(source.c.created_at > sources.c.created_at).order_by(*forwards),
    )
    listed = []
    for side in sides:
        found = side.limit(reach).correlate(chunks, sources).subquery().c
        listed.append(func.json(select(func.json_group_array(found.id)).scalar_subquery()))
    # As one JSON text, because fetching a row for each takes far longer.
    row = func.json_array(chunks.c.id, *listed)
    return (
        select(func.json_group_array(row))
        .join_from(chunks, sources, sources.c.id == chunks.c.source_id)
        .where(chunks.c.id.in_(GIVEN))
    )


@cache
def _reading() -> Select[Any]:
    """Of each given chunk its id, its ordinal, and the fields of its `Turn`."""
    row = func.json_array(chunks.c.id, chunks.c.ordinal.cast(Integer), *_turn())
    return (
        select(func.json_group_array(row))
        .join_from(chunks, sources, sources.c.id == chunks.c.source_id)
        .outerjoin(scopes, scopes.c.id == sources.c.scope_id)
        .where(chunks.c.id.in_(GIVEN))
    )
