"""Compiles the statements of stores, which use SQLite's functions and types, for PostgreSQL.

A dialect of SQLAlchemy's with three differences: integers have 64 bits, and reals 53, as in SQLite;
functions that SQLite has by another name or with another result are written as what they mean; and
statements that are not compiled have their placeholders replaced.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Engine, Integer, LargeBinary, Text, event
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.base import PGTypeCompiler
from sqlalchemy.dialects.postgresql.psycopg import PGCompiler_psycopg, PGDialect_psycopg

from agentmem_storage.sql.schema.any_value import AnyValue

NAME = "postgresql+agentmem"


class _Types(PGTypeCompiler):
    """Names of types."""

    def visit_INTEGER(self, type_: Any, **_: Any) -> str:
        return "BIGINT"

    def visit_REAL(self, type_: Any, **_: Any) -> str:
        return "DOUBLE PRECISION"


class _WholeNumber(BigInteger):
    """An integer as a parameter."""

    render_bind_cast = True


class _Statements(PGCompiler_psycopg):
    """SQLite's functions; each method has the name of one."""

    def visit_json_each_func(self, function: Any, **options: Any) -> str:
        """The values of a JSON array: numbers, unless the statement says that they are texts."""
        (given,) = function.clauses
        array = self.process(given, **options)
        # SQLAlchemy 2.0 has it in the type of the function.
        columns = getattr(function, "_table_value_type", function.type)._elements
        if isinstance(columns[0].type, Text):
            return f"json_array_elements_text(CAST({array} AS json))"
        return f"json_each(CAST({array} AS text))"

    def visit_json_group_array_func(self, function: Any, **options: Any) -> str:
        """All values, none of which is NULL, as the text of a JSON array."""
        (value,) = function.clauses
        listed = f"string_agg(CAST({self.process(value, **options)} AS text), ',')"
        return f"('[' || coalesce({listed}, '') || ']')"

    def visit_json_array_func(self, function: Any, **options: Any) -> str:
        """The text of a JSON array."""
        values = ", ".join(self.process(value, **options) for value in function.clauses)
        return f"CAST(json_build_array({values}) AS text)"

    def visit_json_func(self, function: Any, **options: Any) -> str:
        """A text as the JSON that it is, and not as a string."""
        (text,) = function.clauses
        return f"CAST({self.process(text, **options)} AS json)"

    def visit_hex_func(self, function: Any, **options: Any) -> str:
        """Bytes, or a text in UTF-8, as hexadecimal digits."""
        (value,) = function.clauses
        found = self.process(value, **options)
        if isinstance(value.type, LargeBinary):
            return f"hex({found})"
        return f"hex(convert_to({found}, 'UTF8'))"

    def visit_instr_func(self, function: Any, **options: Any) -> str:
        """Where a text stands in another, from 1; 0 if nowhere."""
        within, wanted = function.clauses
        found = self.process(wanted, **options)
        if isinstance(within.type, AnyValue):
            found = f"convert_to({found}, 'UTF8')"
        return f"position({found} IN {self.process(within, **options)})"

    def visit_substr_func(self, function: Any, **options: Any) -> str:
        """A part; where it stands is written into the statement, so that it can be grouped by."""
        whole, *place = function.clauses
        numbers = ", ".join(str(int(one.value)) for one in place)
        return f"substr({self.process(whole, **options)}, {numbers})"

    def visit_sum_func(self, function: Any, **options: Any) -> str:
        """A sum of integers, of which PostgreSQL makes a decimal."""
        (value,) = function.clauses
        return f"CAST(sum({self.process(value, **options)}) AS BIGINT)"


class StoreDialect(PGDialect_psycopg):
    """See the module."""

    supports_statement_cache = True
    statement_compiler = _Statements
    type_compiler_cls = _Types
    colspecs = {**PGDialect_psycopg.colspecs, Integer: _WholeNumber}
    # One statement for many rows.
    use_insertmanyvalues_wo_returning = True


def accept_question_marks(engine: Engine) -> None:
    """Let statements that are not compiled have SQLite's placeholders."""
    event.listen(engine, "before_cursor_execute", _with_placeholders, retval=True)


def _with_placeholders(
    _: Any, __: Any, statement: str, parameters: Any, context: Any, ___: bool
) -> tuple[str, Any]:
    if context is None or context.compiled is not None:
        return statement, parameters
    return statement.replace("%", "%%").replace("?", "%s"), parameters


registry.register("postgresql.agentmem", __name__, StoreDialect.__name__)
