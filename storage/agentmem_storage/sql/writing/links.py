"""Links between sources: which one supersedes which.

A link is stated by somebody, or it has a score and is only a candidate: the two were found to
contradict each other. Both sources belong to one user and agent. Links never form a circle, so the
sources that they join have an order, from the first to the one that nothing supersedes.

Links go with their sources. Where a source is forgotten between two others, the later of these
supersedes the earlier, so that nothing outdated becomes current again.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from typing import Any
from zlib import crc32

from sqlalchemy import (
    Connection,
    Select,
    bindparam,
    case,
    delete,
    exists,
    insert,
    or_,
    select,
)

from agentmem_storage.errors import InputError, UnknownIdError
from agentmem_storage.records import Link, Linked, Scope
from agentmem_storage.sql.schema.tables import chunks, links, scopes, sources
from agentmem_storage.sql.where.selection import GIVEN, given, scope_conditions
from agentmem_storage.timestamps import from_micros

_FIELDS = struct.Struct("<qq?dq")
_COLUMNS = (links.c.old_id, links.c.new_id, links.c.score, links.c.linked_at)
_TOUCHING = select(*_COLUMNS).where(or_(links.c.old_id.in_(GIVEN), links.c.new_id.in_(GIVEN)))
_ANY = select(exists().select_from(links))
_OWNERS = (
    select(sources.c.id, scopes.c.user_id, scopes.c.agent_id)
    .join(scopes, scopes.c.id == sources.c.scope_id)
    .where(sources.c.id.in_(GIVEN))
)


def _reached(start: Select[Any], *conditions: Any) -> Select[Any]:
    """The ids of the sources that links lead to from some, in both directions, with these."""
    reached = start.cte("reached", recursive=True)
    other = case((links.c.old_id == reached.c.id, links.c.new_id), else_=links.c.old_id)
    at_one_end = or_(links.c.old_id == reached.c.id, links.c.new_id == reached.c.id)
    reached = reached.union(
        select(other).select_from(reached.join(links, at_one_end)).where(*conditions)
    )
    return select(reached.c.id)


@cache
def _of_chunks() -> Select[Any]:
    return _reached(
        select(chunks.c.source_id.label("id")).where(
            chunks.c.id.in_(GIVEN),
            or_(
                exists().where(links.c.old_id == chunks.c.source_id),
                exists().where(links.c.new_id == chunks.c.source_id),
            ),
        )
    )


@cache
def _of_source() -> Select[Any]:
    return _reached(
        select(sources.c.id.label("id")).where(sources.c.id == bindparam("id")),
        links.c.score.is_(None),
    )


@cache
def _superseding(stated: bool, back: bool) -> Select[Any]:
    """The ids of the sources that supersede one, or that it supersedes, directly or not."""
    near, far = (links.c.new_id, links.c.old_id) if back else (links.c.old_id, links.c.new_id)
    kind = [links.c.score.is_(None)] if stated else []
    reached = select(far.label("id")).where(near == bindparam("id"), *kind)
    found = reached.cte("found", recursive=True)
    found = found.union(select(far).select_from(found.join(links, near == found.c.id)).where(*kind))
    return select(found.c.id)


def state(connection: Connection, old: int, new: int, now: int) -> None:
    """Write that one source supersedes another; a candidate becomes a statement.

    Args:
        connection: A write transaction.
        old: Id of the source that is superseded.
        new: Id of the one that supersedes it.
        now: The current time, in microseconds since 1970.

    Raises:
        UnknownIdError: There is no such source.
        InputError: The two are one source or of two owners, or the old one supersedes the new one.
    """
    owners = _owners(connection, (old, new))
    for id in (old, new):
        if id not in owners:
            raise UnknownIdError(f"no source has the id {id!r}")
    if old == new:
        raise InputError(f"source {old} cannot supersede itself")
    if owners[old] != owners[new]:
        raise InputError(
            f"source {new} cannot supersede source {old}: they belong to different users or agents"
        )
    link = connection.execute(
        select(links.c.score).where(links.c.old_id == old, links.c.new_id == new)
    ).one_or_none()
    if link is not None and link.score is None:
        return
    if old in _reach(connection, new, stated=True):
        raise InputError(
            f"source {new} cannot supersede source {old}, which supersedes it: undo that first"
        )
    # Candidates that say the opposite were wrong.
    later, earlier = {new, *_reach(connection, new)}, {old, *_reach(connection, old, back=True)}
    if old in later:
        rows = _touching(connection, later)
        pairs = ((row.old_id, row.new_id) for row in rows)
        wrong = [(one, two) for one, two in pairs if one in later and two in earlier]
        _delete(connection, wrong, candidates=True)
    _delete(connection, [(old, new)])
    _insert(connection, [(old, new, None, now)])


def propose(
    connection: Connection, found: Iterable[tuple[int, int, float]], now: int
) -> list[Link]:
    """Write candidates: that one source seems to supersede another.

    Those are left out of which a source is gone, that have an order by statements, that are linked
    already, or that would close a circle.

    Args:
        connection: A write transaction.
        found: Ids of the old and of the new source, and the score, 0 to 1.
        now: The current time, in microseconds since 1970.

    Returns:
        The links that were written.
    """
    written = []
    for old, new, score in found:
        owners = _owners(connection, (old, new))
        if len(owners) < 2 or owners[old] != owners[new]:
            continue
        known = {(row.old_id, row.new_id) for row in _touching(connection, (old,))}
        ordered = new in _reach(connection, old, stated=True) or old in _reach(connection, new)
        if (old, new) in known or ordered:
            continue
        _insert(connection, [(old, new, score, now)])
        written.append(Link(old, new, score, from_micros(now)))
    return written


def remove(connection: Connection, old: int, new: int) -> bool:
    """Delete a link, a statement as well as a candidate; return whether there was one."""
    return _delete(connection, [(old, new)]) > 0


def drop_candidates(connection: Connection, source_id: int) -> None:
    """Delete the candidates of a source, because its text is another now."""
    pairs = [(row.old_id, row.new_id) for row in _touching(connection, (source_id,))]
    _delete(connection, pairs, candidates=True)


def drop(connection: Connection, source_ids: Collection[int]) -> None:
    """Before sources are deleted, delete their links, and join what they stood between."""
    rows = _touching(connection, source_ids)
    if not rows:
        return
    gone = set(source_ids)
    before: dict[int, dict[int, int]] = defaultdict(dict)
    after: dict[int, dict[int, int]] = defaultdict(dict)
    for row in rows:
        if row.score is None:
            before[row.new_id][row.old_id] = after[row.old_id][row.new_id] = row.linked_at
    joined: dict[tuple[int, int], int] = {}
    for id in gone:
        olds, news = before.pop(id, {}), after.pop(id, {})
        for old in olds:
            after[old].pop(id, None)
        for new in news:
            before[new].pop(id, None)
        for old, earlier in olds.items():
            for new, later in news.items():
                at = max(earlier, later)
                after[old][new] = before[new][old] = at
                if not gone & {old, new}:
                    joined[old, new] = at
    _delete(connection, [(row.old_id, row.new_id) for row in rows])
    for (old, new), at in joined.items():
        state(connection, old, new, at)


def any_there(connection: Connection) -> bool:
    """Whether there is any link."""
    return bool(connection.scalar(_ANY))


def of_chunks(connection: Connection, chunk_ids: Iterable[int]) -> Linked:
    """The links of chunks' sources, and of those that these lead to."""
    found = list(connection.scalars(_of_chunks(), given(chunk_ids)))
    if not found:
        return Linked((), {}, {})
    rows = _touching(connection, found)
    of_source: dict[int, list[int]] = defaultdict(list)
    times: dict[int, int] = {}
    query = (
        select(chunks.c.source_id, chunks.c.id, sources.c.created_at)
        .join(sources, sources.c.id == chunks.c.source_id)
        .where(chunks.c.source_id.in_(GIVEN))
        .order_by(chunks.c.source_id, chunks.c.ordinal)
    )
    for row in connection.execute(query, given(found)):
        of_source[row.source_id].append(row.id)
        times[row.source_id] = row.created_at
    return Linked(
        # What is damaged may be missing at one end.
        tuple(_link(row) for row in rows if row.old_id in times and row.new_id in times),
        {id: tuple(ids) for id, ids in of_source.items()},
        times,
    )


def chain(connection: Connection, source_id: int) -> list[int]:
    """A source and all that stated links join with it, the first of them first."""
    ids = list(connection.scalars(_of_source(), {"id": source_id}))
    after: dict[int, list[int]] = {id: [] for id in ids}
    waits = dict.fromkeys(ids, 0)
    for row in _touching(connection, ids):
        if row.score is None:
            after[row.old_id].append(row.new_id)
            waits[row.new_id] += 1
    ready = sorted(id for id, count in waits.items() if not count)
    order = []
    while ready:
        order.append(ready.pop(0))
        for new in after[order[-1]]:
            waits[new] -= 1
            if not waits[new]:
                ready = sorted([*ready, new])
    return order


def candidates(connection: Connection, scope: Scope) -> list[Link]:
    """The candidates whose two sources are in a scope, the likeliest first."""
    query = select(*_COLUMNS).where(links.c.score.is_not(None))
    if conditions := scope_conditions(scope):
        within = (
            select(sources.c.id).join(scopes, scopes.c.id == sources.c.scope_id).where(*conditions)
        )
        query = query.where(links.c.old_id.in_(within), links.c.new_id.in_(within))
    rows = connection.execute(query.order_by(links.c.score.desc(), links.c.new_id, links.c.old_id))
    return [_link(row) for row in rows]


def faults(connection: Connection) -> Iterator[str]:
    """What is wrong with links, one by one."""
    return (what for _, what in _wrong(connection))


def _wrong(connection: Connection) -> list[tuple[int, str]]:
    """The ids of links with which something is wrong, and what it is."""
    found = []
    known = set(connection.scalars(select(sources.c.id)))
    query = "SELECT id, old_id, new_id, score, linked_at, sum FROM links ORDER BY id"
    for id, *fields, held in connection.exec_driver_sql(query).all():
        try:
            altered = _sum(*fields) != held
        except (struct.error, TypeError):
            altered = True
        if altered:
            found.append((id, f"link {id} is not as it was written"))
        elif not {fields[0], fields[1]} <= known:
            found.append((id, f"link {id} is of a source that is not there"))
    return found


def drop_damaged(connection: Connection) -> int:
    """Delete the links with which something is wrong; how many they were."""
    wrong = _wrong(connection)
    connection.execute(delete(links).where(links.c.id.in_([id for id, _ in wrong])))
    return len(wrong)


def _reach(
    connection: Connection, source_id: int, *, stated: bool = False, back: bool = False
) -> set[int]:
    """The sources that supersede one, directly or not.

    Args:
        connection: A transaction.
        source_id: The source.
        stated: Only by stated links, and not by candidates.
        back: Those that it supersedes instead.
    """
    return set(connection.scalars(_superseding(stated, back), {"id": source_id}))


def _touching(connection: Connection, source_ids: Iterable[int]) -> Sequence[Any]:
    return connection.execute(_TOUCHING, given(source_ids)).all()


def _owners(connection: Connection, ids: Iterable[int]) -> dict[int, tuple[str | None, ...]]:
    rows = connection.execute(_OWNERS, given(ids))
    return {row.id: (row.user_id, row.agent_id) for row in rows}


def _insert(connection: Connection, rows: Iterable[tuple[int, int, float | None, int]]) -> None:
    values = [
        {"old_id": old, "new_id": new, "score": score, "linked_at": at}
        | {"sum": _sum(old, new, score, at)}
        for old, new, score, at in rows
    ]
    connection.execute(insert(links), values)


def _delete(
    connection: Connection, pairs: Iterable[tuple[int, int]], *, candidates: bool = False
) -> int:
    """Delete links, or only those that are candidates; return how many there were."""
    removed = 0
    for old, new in pairs:
        query = delete(links).where(links.c.old_id == old, links.c.new_id == new)
        if candidates:
            query = query.where(links.c.score.is_not(None))
        removed += connection.execute(query).rowcount
    return removed


def _link(row: Any) -> Link:
    return Link(row.old_id, row.new_id, row.score, from_micros(row.linked_at))


def _sum(old: int, new: int, score: float | None, linked_at: int) -> int:
    return crc32(_FIELDS.pack(old, new, score is None, score or 0.0, linked_at))
