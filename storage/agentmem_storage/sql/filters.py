"""The ``where=`` filter language, compiled to SQL conditions over sources.

    {"channel": "web"}                                  equal
    {"year": {"gte": 2001, "lt": 2010}}                 operators; all must hold
    {"and": [...]}, {"or": [...]}, {"not": {...}}       combinations of filters
    {"role": "user", "metadata.role": "chef"}           a field; a metadata key of that name

Names. ``kind``, ``role``, ``name``, ``title``, ``uri`` and ``created_at`` are fields of the source,
every other name is a metadata key. A dot descends into a nested object; a key that contains a dot
takes precedence. The prefix ``metadata.`` marks a metadata key that has the name of a field.

Operators. ``eq``, ``ne``, ``in``, ``not_in``, ``gt``, ``gte``, ``lt``, ``lte``, ``exists`` and
``contains``: a substring of a string, or a member of a list.

``created_at`` is compared with times: datetimes or ISO 8601 strings, both UTC if without zone, or
seconds since 1970. It takes any operator but ``contains``.

Types matter: 1 equals 1.0 but neither "1" nor true. Numbers are ordered, and so are strings (by
code point); other types are not.

A missing value matches only ``{"exists": false}``, so ``ne`` and ``not_in`` mean "exists and is
different". A JSON null exists and equals None; a field that is None is missing. ``not`` is plain
negation: it matches whatever its filter does not.
"""

from __future__ import annotations

import json
import math
import operator
import reprlib
import sqlite3
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import ColumnElement, and_, false, func, not_, or_, true

from agentmem_storage.errors import FilterError
from agentmem_storage.sql.tables import sources
from agentmem_storage.text import lone_surrogate
from agentmem_storage.timestamps import read_timestamp, to_micros

FIELDS = ("kind", "role", "name", "title", "uri")
TIMES = ("created_at",)
OPERATORS = ("eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "exists", "contains")
_JOINERS = ("and", "or", "not")
_PREFIX = "metadata."
_ORDER: dict[str, Callable[[Any, Any], Any]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
# SQLite limits nesting and bound values per statement; these leave room for the rest.
_MAX_DEPTH = 32
_MAX_CONDITIONS = 200
_MAX_VALUES = 5_000
# Python refuses to read integers of more than 4300 digits.
_MAX_BITS = 8192
_FUNCTION = "agentmem_metadata_matches"


def install(connection: sqlite3.Connection) -> None:
    """Register the SQL function that metadata conditions call."""
    connection.create_function(_FUNCTION, 4, matches, deterministic=True)


def compile_filter(where: Mapping[str, Any]) -> ColumnElement[bool]:
    """Compile a filter to a condition on the table of sources, never NULL.

    Raises:
        FilterError: An operator is unknown, or the filter is malformed.
    """
    return _Compiler().filter(where, 0)


def matches(metadata: bytes | None, path: str, op: str, operand: str) -> int:
    """Whether a source's metadata satisfies one condition.

    Args:
        metadata: The metadata as JSON; None if there are none.
        path: Name of the key, as in a filter.
        op: One of `OPERATORS`.
        operand: The operand, as JSON.

    Returns:
        1 or 0, because SQLite has no booleans.
    """
    try:
        present, value = _look_up(_read(metadata or b"{}"), path)
    except ValueError:
        # A damaged row satisfies nothing; `check` reports it.
        present, value = False, None
    wanted = _read(operand)
    if op == "exists":
        return int(present is wanted)
    return int(present and _holds(value, op, wanted))


@lru_cache(maxsize=256)
def _read(encoded: bytes | str) -> Any:
    """Parse JSON; cached, since an operand repeats for every row and metadata often repeat."""
    # Given bytes, json first detects their encoding, which doubles the time.
    return json.loads(encoded if isinstance(encoded, str) else encoded.decode())


def _look_up(node: Any, path: str) -> tuple[bool, Any]:
    if not isinstance(node, dict):
        return False, None
    if path in node:
        return True, node[path]
    head, dot, rest = path.partition(".")
    return _look_up(node[head], rest) if dot and head in node else (False, None)


def _holds(value: Any, op: str, wanted: Any) -> bool:
    if op in ("eq", "ne"):
        return _same(value, wanted) is (op == "eq")
    if op in ("in", "not_in"):
        return any(_same(value, one) for one in wanted) is (op == "in")
    if op == "contains":
        if isinstance(value, list):
            return any(_same(member, wanted) for member in value)
        return isinstance(value, str) and isinstance(wanted, str) and wanted in value
    comparable = _type(value) == _type(wanted) and _type(value) in ("number", "string")
    return comparable and bool(_ORDER[op](value, wanted))


def _same(value: Any, wanted: Any) -> bool:
    return _type(value) == _type(wanted) and bool(value == wanted)


def _type(value: Any) -> str:
    """The JSON type; unlike in Python, a bool is not a number."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else type(value).__name__


class _Compiler:
    """Compiles one filter and enforces the limits on its size."""

    def __init__(self) -> None:
        self._conditions = 0
        self._values = 0

    def filter(self, where: object, depth: int) -> ColumnElement[bool]:
        if not isinstance(where, Mapping):
            raise FilterError(
                f"a filter is a mapping such as {{'channel': 'web'}}, got {_shown(where)}"
            )
        if depth > _MAX_DEPTH:
            raise FilterError(f"a filter may be nested {_MAX_DEPTH} deep at most")
        return and_(true(), *(self._entry(name, value, depth) for name, value in where.items()))

    def _entry(self, name: object, value: object, depth: int) -> ColumnElement[bool]:
        if not isinstance(name, str) or lone_surrogate(name) is not None:
            raise FilterError(f"a filter's names are strings, got {_shown(name)}")
        if name == "not":
            return not_(self.filter(value, depth + 1))
        if name in _JOINERS:
            if not isinstance(value, list | tuple):
                raise FilterError(f"{name!r} takes a list of filters, got {_shown(value)}")
            parts = [self.filter(part, depth + 1) for part in value]
            return and_(true(), *parts) if name == "and" else or_(false(), *parts)
        tests = value if isinstance(value, Mapping) else {"eq": value}
        if not tests:
            raise FilterError(f"{name!r} has no operator: one of {', '.join(OPERATORS)}")
        return and_(true(), *(self._test(name, op, wanted) for op, wanted in tests.items()))

    def _test(self, name: str, op: object, wanted: object) -> ColumnElement[bool]:
        self._conditions += 1
        if self._conditions > _MAX_CONDITIONS:
            raise FilterError(f"a filter may have {_MAX_CONDITIONS} conditions at most")
        if op not in OPERATORS or not isinstance(op, str):
            raise FilterError(
                f"unknown operator {op!r} for {name!r}: one of {', '.join(OPERATORS)} "
                f"(and 'and', 'or', 'not' around filters)"
            )
        operand = self._operand(name, op, wanted)
        if name in FIELDS or name in TIMES:
            return _field_condition(name, op, operand)
        path = name.removeprefix(_PREFIX)
        call = getattr(func, _FUNCTION)(sources.c.metadata, path, op, json.dumps(operand))
        return cast("ColumnElement[bool]", call == 1)

    def _operand(self, name: str, op: str, wanted: object) -> Any:
        read = _micros if name in TIMES else _scalar
        if op == "exists":
            if not isinstance(wanted, bool):
                raise FilterError(f"'exists' of {name!r} takes True or False, got {_shown(wanted)}")
            return wanted
        if op in ("in", "not_in"):
            if not isinstance(wanted, list | tuple | set | frozenset):
                raise FilterError(
                    f"{op!r} of {name!r} takes a list of values, got {_shown(wanted)}"
                )
            self._values += len(wanted)
            if self._values > _MAX_VALUES:
                raise FilterError(f"a filter may list {_MAX_VALUES} values at most")
            return [read(name, op, one) for one in wanted]
        if name in TIMES:
            return read(name, op, wanted)
        if op in _ORDER and (isinstance(wanted, bool) or not isinstance(wanted, int | float | str)):
            raise FilterError(
                f"{op!r} of {name!r} takes a number or a string, got {_shown(wanted)}"
            )
        return _scalar(name, op, wanted)


def _scalar(name: str, op: str, value: object) -> Any:
    if value is None or (isinstance(value, int) and value.bit_length() <= _MAX_BITS):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str) and lone_surrogate(value) is None:
        return value
    raise FilterError(
        f"{op!r} of {name!r} takes a string, a finite number, True, False or None, "
        f"got {_shown(value)}"
    )


def _micros(name: str, op: str, value: object) -> int:
    """A time as it is stored."""
    if op == "contains":
        raise FilterError(f"{name!r} is a time: it takes any operator but 'contains'")
    try:
        return to_micros(read_timestamp(value), name)
    except (TypeError, ValueError, OverflowError):
        raise FilterError(
            f"{op!r} of {name!r} takes a time: a datetime, an ISO 8601 string such as "
            f"'2026-02-13T09:40:00Z', or seconds since 1970, got {_shown(value)}"
        ) from None


def _shown(value: object) -> str:
    """A short representation of any value, however large, for error messages."""
    try:
        return reprlib.repr(value)
    except ValueError:
        return "a number of thousands of digits"


def _field_condition(name: str, op: str, wanted: Any) -> ColumnElement[bool]:
    """A condition on a field, whose values are strings or missing, or on a time."""
    column = sources.c[name]
    if op == "exists":
        return column.is_not(None) if wanted else column.is_(None)
    for value in wanted if isinstance(wanted, list) else [wanted]:
        if name in FIELDS and not isinstance(value, str):
            raise FilterError(
                f"{name!r} is a string: compare it with one, not with {_shown(value)} (a missing "
                f"one is {{{name!r}: {{'exists': False}}}}, a metadata key {_PREFIX + name!r})"
            )
    conditions: dict[str, Callable[[], ColumnElement[bool]]] = {
        "eq": lambda: column == wanted,
        "ne": lambda: column != wanted,
        "in": lambda: column.in_(wanted),
        "not_in": lambda: column.not_in(wanted),
        "contains": lambda: func.instr(column, wanted) > 0,
    }
    ordered = _ORDER.get(op)
    condition = ordered(column, wanted) if ordered else conditions[op]()
    return and_(column.is_not(None), condition)
