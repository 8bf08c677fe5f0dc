"""Ids of chunks that went with the old text of a source, which callers may still hold.

Only numbers are kept, until the source is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, exists, insert, select

from agentmem_storage.sql.schema import row_sums
from agentmem_storage.sql.schema.tables import replaced, sources
from agentmem_storage.sql.where.selection import id_list

# Built once: made anew, it leaves reference cycles.
_GONE = ~exists().where(sources.c.id == replaced.c.source_id)


def note(connection: Connection, chunk_ids: Sequence[int], source_id: int) -> None:
    """Keep the ids of a source's old chunks."""
    if chunk_ids:
        rows = [{"chunk_id": one, "source_id": source_id} for one in chunk_ids]
        connection.execute(insert(replaced), [row_sums.summed(replaced, row) for row in rows])


def source_of(connection: Connection, chunk_id: int) -> int | None:
    """The source that a replaced chunk belonged to; None if no such chunk was replaced."""
    return connection.scalar(select(replaced.c.source_id).where(replaced.c.chunk_id == chunk_id))


def drop(connection: Connection, source_ids: Sequence[int]) -> None:
    """Delete what was kept of those sources that are gone."""
    listed = replaced.c.source_id.in_(id_list(source_ids))
    connection.execute(delete(replaced).where(listed, _GONE))
