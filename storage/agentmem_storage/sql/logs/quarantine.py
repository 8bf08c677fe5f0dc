"""Damaged chunks that were taken out of use: their rows as they were, under the ids that they had.

They are in no result, for they are no chunks any more. They stay until they are forgotten, by their
ids or with their scope, as far as that could be read. A source that has no chunks is kept under its
negative id.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from agentmem_storage.records import ANY_SCOPE, Quarantined, Scope
from agentmem_storage.sql.schema import row_sums
from agentmem_storage.sql.schema.tables import quarantine
from agentmem_storage.sql.where.selection import id_list
from agentmem_storage.timestamps import from_micros

_SCOPE = ("user_id", "agent_id", "session_id")
_OF_CHUNK = "SELECT * FROM chunks WHERE id = ?"
_OF_SOURCE = "SELECT * FROM sources WHERE id = ?"
_WORDS = "SELECT user_id, agent_id, session_id FROM scopes WHERE id = ?"


def entry_of_chunk(
    connection: Connection, chunk_id: int, why: str, now: int
) -> dict[str, Any] | None:
    """What is kept of a chunk and of its source, to be given to `put`; None if it is not there."""
    chunk = _row(connection, _OF_CHUNK, chunk_id)
    if chunk is None:
        return None
    source = _row(connection, _OF_SOURCE, chunk["source_id"])
    return _entry(connection, chunk_id, why, now, chunk, source)


def entry_of_source(
    connection: Connection, source_id: int, why: str, now: int
) -> dict[str, Any] | None:
    """The same of a source that has no chunks."""
    source = _row(connection, _OF_SOURCE, source_id)
    if source is None:
        return None
    return _entry(connection, -source_id, why, now, None, source)


def put(connection: Connection, entries: Sequence[Mapping[str, Any]]) -> None:
    """Keep what is no longer in use."""
    drop(connection, [entry["chunk_id"] for entry in entries])
    if entries:
        connection.execute(insert(quarantine), list(entries))


def mend(connection: Connection, now: int) -> None:
    """Make what is kept readable again where it was altered; it is damaged already."""
    for (id,) in row_sums.damaged(connection, quarantine):
        row = _row(connection, "SELECT * FROM quarantine WHERE chunk_id = ?", id) or {}
        kept = row.get("rows")
        entry = {
            "chunk_id": id,
            **{name: row[name] if isinstance(row.get(name), str) else None for name in _SCOPE},
            "why": "its entry in quarantine was altered",
            "noted_at": now,
            "rows": kept if isinstance(kept, bytes) else repr(kept).encode(),
        }
        put(connection, [row_sums.summed(quarantine, entry)])


def drop(connection: Connection, chunk_ids: Iterable[int]) -> list[int]:
    """Delete what is kept under some ids; those of which there was something, ascending."""
    found = ids(connection, ANY_SCOPE, chunk_ids)
    if found:
        connection.execute(delete(quarantine).where(quarantine.c.chunk_id.in_(id_list(found))))
    return found


def listed(connection: Connection, scope: Scope = ANY_SCOPE) -> list[Quarantined]:
    """What was taken out of use in a scope, by id; what cannot be read is left out."""
    damaged = {id for (id,) in row_sums.damaged(connection, quarantine)}
    query = select(quarantine).where(quarantine.c.chunk_id.not_in(damaged), *_within(scope))
    return [
        Quarantined(
            row.chunk_id,
            row.why,
            from_micros(row.noted_at),
            Scope(row.user_id, row.agent_id, row.session_id),
        )
        for row in connection.execute(query.order_by(quarantine.c.chunk_id))
    ]


def ids(connection: Connection, scope: Scope, among: Iterable[int] | None = None) -> list[int]:
    """Ids of what was taken out of use in a scope, ascending."""
    query = select(quarantine.c.chunk_id).where(*_within(scope)).order_by(quarantine.c.chunk_id)
    if among is not None:
        query = query.where(quarantine.c.chunk_id.in_(id_list(among)))
    return list(connection.scalars(query))


def _within(scope: Scope) -> list[Any]:
    words = {name: getattr(scope, name) for name in _SCOPE}
    return [quarantine.c[name] == word for name, word in words.items() if word is not None]


def _entry(
    connection: Connection,
    id: int,
    why: str,
    now: int,
    chunk: dict[str, Any] | None,
    source: dict[str, Any] | None,
) -> dict[str, Any]:
    scope_id = (source or chunk or {}).get("scope_id")
    words = _row(connection, _WORDS, scope_id) or dict.fromkeys(_SCOPE)
    kept = json.dumps({"chunk": chunk, "source": source}, default=_plain).encode()
    return row_sums.summed(
        quarantine,
        {
            "chunk_id": id,
            **{name: word if isinstance(word, str) else None for name, word in words.items()},
            "why": why,
            "noted_at": now,
            "rows": kept,
        },
    )


def _row(connection: Connection, query: str, id: object) -> dict[str, Any] | None:
    """A row as it is: neither the types of damaged values nor their encoding is an obstacle."""
    row = connection.exec_driver_sql(query, (id,)).one_or_none()
    return None if row is None else dict(row._mapping)


def _plain(value: object) -> dict[str, str]:
    """Bytes in JSON, told from text."""
    assert isinstance(value, bytes)
    return {"bytes": value.hex()}
