"""What was added last, without reading everything that was added before."""

from __future__ import annotations

from sqlalchemy import Connection

from agentmem_storage.records import Scope, Selection
from agentmem_storage.sql.schema.tables import chunks
from agentmem_storage.sql.where.selection import as_id, selected


def recent(
    connection: Connection, scope: Scope, *, most: int, before: int | None, now: int | None
) -> list[int]:
    """The highest chunk ids of a scope, descending.

    Args:
        connection: A transaction.
        scope: The scope.
        most: How many at most.
        before: Only ids below this one; None: any.
        now: As in `agentmem_storage.sql.where.selection.selected`.
    """
    query = selected(Selection(scope), now=now).order_by(chunks.c.id.desc()).limit(most)
    if before is not None:
        query = query.where(chunks.c.id < as_id(before))
    return list(connection.scalars(query))
