"""Inserts rows; ids are assigned by the caller, see `agentmem_storage.sql.writing.write`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table, insert

from agentmem_storage.records import Scope
from agentmem_storage.sql.lexical import terms
from agentmem_storage.sql.logs import changes
from agentmem_storage.sql.schema import ids_given, row_counts
from agentmem_storage.sql.schema.tables import chunks, scopes


def next_id(connection: Connection, table: Table) -> int:
    """One above the highest id that the table ever had."""
    return ids_given.last(connection, table.name) + 1


def insert_scope(connection: Connection, scope: Scope) -> int:
    """Insert a scope that the store does not have, and return its id."""
    scope_id = next_id(connection, scopes)
    connection.execute(insert(scopes).values(id=scope_id, **scope_words(scope)))
    return scope_id


def scope_words(scope: Scope) -> dict[str, str | None]:
    """The ids of a scope as columns."""
    return {"user_id": scope.user_id, "agent_id": scope.agent_id, "session_id": scope.session_id}


def insert_chunks(
    connection: Connection, rows: Sequence[dict[str, Any]], texts: Sequence[str]
) -> None:
    """Insert chunks with the text to index for each, and log them as added."""
    ids = [row["id"] for row in rows]
    connection.execute(insert(chunks), rows)
    row_counts.note(connection, len(rows))
    terms.insert(connection, zip(ids, texts, strict=True))
    changes.append(connection, changes.ADD, ids)
