"""The number of rows of the lexical index, which a recall asks for.

FTS5 keeps it for its own BM25, before the number of words, in a row of the table of its pages. In
PostgreSQL, it is kept by `agentmem_storage.sql.lexical.tsvectors`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Integer
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from agentmem_storage.sql.lexical.lexicon import varints


class _Size(Integer):
    """A number, or what FTS5 has in its place."""

    def result_processor(self, dialect: Any, coltype: Any) -> Callable[[Any], int]:
        """An index that does not say how many rows it has is damaged, and has none."""
        if dialect.name != "sqlite":
            return int
        return lambda block: next(varints(block), 0) if isinstance(block, bytes) else 0


class IndexSize(FunctionElement[int]):
    """The number of rows of the lexical index, as it is kept."""

    inherit_cache = True
    name = "index_size"
    type = _Size()


@compiles(IndexSize)
def _in_sqlite(element: IndexSize, compiler: SQLCompiler, **options: Any) -> str:
    return "(SELECT block FROM chunk_terms_data WHERE id = 1)"


@compiles(IndexSize, "postgresql")
def _in_postgresql(element: IndexSize, compiler: SQLCompiler, **options: Any) -> str:
    return "(SELECT indexed FROM totals)"
