"""The audit log: whose memories were added, changed and forgotten, and when, without their text.

It is kept while the store says so, in ``meta.audited``. A line is written in the transaction of the
change that it tells of. Nothing deletes lines: they are what remains to be shown of memories that
are gone.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from agentmem_storage.errors import CorruptRecordError
from agentmem_storage.records import AuditLine, AuditOp, Scope
from agentmem_storage.sql.schema import row_sums, seal
from agentmem_storage.sql.schema.tables import audit, meta
from agentmem_storage.timestamps import from_micros, to_micros

# Read as they are: damaged memories can be forgotten too.
_OWNERS = (
    "SELECT sources.id, user_id, agent_id, session_id FROM sources "
    "LEFT JOIN scopes ON scopes.id = sources.scope_id "
    "WHERE sources.id IN (SELECT value FROM json_each(?)) ORDER BY sources.id"
)
_CHUNKS = (
    "SELECT source_id, id FROM chunks WHERE source_id IN (SELECT value FROM json_each(?)) "
    "ORDER BY source_id, id"
)
_WORDS = ("user_id", "agent_id", "session_id")


def is_kept(connection: Connection) -> bool:
    """Whether the store keeps an audit log."""
    return bool(connection.scalar(select(meta.c.audited)))


def keep(connection: Connection, on: bool, now: int) -> None:
    """Begin or end the audit log, and say so in it; the same again changes nothing.

    Args:
        connection: A write transaction.
        on: Whether it is kept from now on.
        now: The current time, in microseconds since 1970.
    """
    if is_kept(connection) == on:
        return
    with seal.resealed(connection):
        connection.execute(update(meta).values(audited=int(on)))
    _write(connection, [{"at": now, "op": "began" if on else "ended"}])


def note(
    connection: Connection,
    op: AuditOp,
    source_ids: Iterable[int],
    now: int,
    *,
    only: Collection[int] | None = None,
) -> None:
    """Note a change of sources, if an audit log is kept.

    Args:
        connection: The write transaction of the change; before it, if it deletes.
        op: What is done to them.
        source_ids: The sources.
        now: The current time, in microseconds since 1970.
        only: The chunks that it concerns; None for all of the sources.
    """
    ids = list(source_ids)
    if not ids or not is_kept(connection):
        return
    given = (json.dumps(ids),)
    of: dict[Any, list[int]] = defaultdict(list)
    for source_id, id in connection.exec_driver_sql(_CHUNKS, given):
        if only is None or id in only:
            of[source_id].append(id)
    rows = [
        {
            "at": now,
            "op": op,
            **{
                name: word if isinstance(word, str) else None
                for name, word in zip(_WORDS, words, strict=True)
            },
            "source_id": source_id,
            "chunk_ids": json.dumps(of[source_id]).encode(),
        }
        for source_id, *words in connection.exec_driver_sql(_OWNERS, given).all()
    ]
    if rows:
        _write(connection, rows)


def listed(
    connection: Connection, scope: Scope, since: datetime | None, until: datetime | None
) -> list[AuditLine]:
    """The lines of a scope, in the order in which they were written.

    Raises:
        CorruptRecordError: One was altered.
    """
    if damaged := row_sums.damaged(connection, audit):
        raise CorruptRecordError(
            f"line {damaged[0][0]!r:.100} of the audit log was altered: restore the store from a "
            f"backup, or mend it with repair(), which deletes such lines and says so"
        )
    words = {name: getattr(scope, name) for name in _WORDS}
    query = select(audit).where(
        *(audit.c[name] == word for name, word in words.items() if word is not None)
    )
    if since is not None:
        query = query.where(audit.c.at >= to_micros(since, "since"))
    if until is not None:
        query = query.where(audit.c.at < to_micros(until, "until"))
    return [
        AuditLine(
            row.id,
            from_micros(row.at),
            row.op,
            Scope(row.user_id, row.agent_id, row.session_id),
            row.source_id,
            tuple(json.loads(row.chunk_ids or b"[]")),
        )
        for row in connection.execute(query.order_by(audit.c.id))
    ]


def drop_damaged(connection: Connection, now: int) -> int:
    """Delete the lines that were altered, and say in the log that there were; how many."""
    dropped = row_sums.drop_damaged(connection, audit)
    if dropped:
        _write(connection, [{"at": now, "op": "damaged"} for _ in range(dropped)])
    return dropped


def _write(connection: Connection, rows: list[dict[str, Any]]) -> None:
    first = (connection.scalar(select(func.max(audit.c.id))) or 0) + 1
    connection.execute(
        insert(audit),
        [row_sums.summed(audit, {"id": first + n, **row}) for n, row in enumerate(rows)],
    )
