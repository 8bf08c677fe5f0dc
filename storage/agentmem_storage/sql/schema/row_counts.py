"""The number of rows of a table, which a recall asks for.

SQLite counts them, which takes it little. PostgreSQL would look whether each is visible, so there
they are kept in a table of one row, which triggers and `agentmem_storage.sql.lexical.tsvectors`
keep up to date.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Integer, TableClause, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

# By table, the column that has the number.
_COLUMNS: Final = {"chunks": "chunks", "chunk_terms_docsize": "indexed"}


class RowCount(FunctionElement[int]):
    """The number of rows of one of two tables.

    Args:
        table: ``chunks``, or that of the sizes of their terms.
    """

    inherit_cache = True
    name = "row_count"
    type = Integer()

    def __init__(self, table: TableClause) -> None:
        self.column = _COLUMNS[table.name]
        super().__init__(select(func.count()).select_from(table).scalar_subquery())


@compiles(RowCount)
def _counted(element: RowCount, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(list(element.clauses)[0], **options)


@compiles(RowCount, "postgresql")
def _kept(element: RowCount, compiler: SQLCompiler, **options: Any) -> str:
    return f"(SELECT {element.column} FROM totals)"
