"""The number of chunks, which a recall asks for.

Counting them takes longer the more there are, so it is kept in a table of one row. In SQLite,
whoever adds or deletes chunks brings it up to date, in the same transaction: triggers in a file
could as well be a stranger's, and such files are refused. In PostgreSQL, triggers do.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Integer, bindparam, func, select, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from agentmem_storage.sql.schema.tables import chunks, totals

_KEPT = select(totals.c.chunks).scalar_subquery()
_COUNTED = select(func.count()).select_from(chunks).scalar_subquery()
_NOTE = update(totals).values(chunks=totals.c.chunks + bindparam("added", type_=Integer))


class ChunkCount(FunctionElement[int]):
    """The number of chunks, as it is kept; counted where a damaged file does not say it."""

    inherit_cache = True
    name = "chunk_count"
    type = Integer()

    def __init__(self) -> None:
        sound = select(totals.c.chunks).where(func.typeof(totals.c.chunks) == "integer")
        super().__init__(func.coalesce(sound.limit(1).scalar_subquery(), _COUNTED), _KEPT)


@compiles(ChunkCount)
def _in_sqlite(element: ChunkCount, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(list(element.clauses)[0], **options)


@compiles(ChunkCount, "postgresql")
def _in_postgresql(element: ChunkCount, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(list(element.clauses)[1], **options)


def note(connection: Connection, added: int) -> None:
    """Note that there are more chunks, or fewer; in the transaction that adds or deletes them."""
    if added and connection.dialect.name == "sqlite":
        connection.execute(_NOTE, {"added": added})


def recount(connection: Connection) -> None:
    """Write the number anew."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("DELETE FROM totals")
        connection.exec_driver_sql("INSERT INTO totals (chunks) SELECT count(*) FROM chunks")


def holds(connection: Connection) -> bool:
    """Whether the number that is kept is that of the rows."""
    return connection.scalars(select(totals.c.chunks == _COUNTED)).all() == [True]
