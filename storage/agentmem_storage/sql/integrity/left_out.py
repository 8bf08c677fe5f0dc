"""Tells an id that nothing has from one whose rows are left out, because they cannot be read."""

from __future__ import annotations

from sqlalchemy import Connection, select

from agentmem_storage.sql.connection.base import AnyDatabase
from agentmem_storage.sql.schema.tables import chunks, sources


def is_left_out(database: AnyDatabase, connection: Connection, id: int) -> bool:
    """Whether a memory has an id, and its row, or that of its message or scope, is left out."""
    return id in database.left_out("chunks") or id in database.torn(connection)


def is_source_left_out(database: AnyDatabase, connection: Connection, id: int) -> bool:
    """Whether a message has an id, and its row, that of its scope, or all its chunks are left out.

    Args:
        database: An open database.
        connection: To its tables.
        id: That of a message or document of which nothing was found in its scope.
    """
    if not database.has_gaps():
        return False
    if id in database.left_out("sources"):
        return True
    own = set(connection.execute(select(chunks.c.id).where(chunks.c.source_id == id)).scalars())
    if own:
        return not own.isdisjoint(database.torn(connection))
    return connection.execute(select(sources.c.id).where(sources.c.id == id)).first() is not None
