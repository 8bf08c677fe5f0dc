"""The ``where=`` filter language, compiled to SQL conditions over sources.

    {"channel": "web"}                                  equal
    {"year": {"gte": 2001, "lt": 2010}}                 operators; all must hold
    {"and": [...]}, {"or": [...]}, {"not": {...}}       combinations of filters
    {"role": "user", "metadata.role": "chef"}           a field; a metadata key of that name

Names. These are fields; every other name is a metadata key:

- of the scope: ``user_id``, ``agent_id``, ``session_id``;
- of the source: ``kind``, ``role``, ``name``, ``title``, ``uri``, ``created_at``, ``source_id``,
  ``external_id``;
- of the chunk: ``id``.

The prefix ``metadata.`` marks a metadata key that has the name of a field. A dot in the name of a
key descends into a nested object; a key that contains a dot takes precedence.

Operators. ``eq``, ``ne``, ``in``, ``not_in``, ``gt``, ``gte``, ``lt``, ``lte``, ``exists`` and
``contains``: a substring of a string, or a member of a list.

``created_at`` is compared with times: datetimes or ISO 8601 strings, both UTC if without zone, or
seconds since 1970. ``id`` and ``source_id`` are compared with whole numbers. These three take any
operator but ``contains``. The other fields are compared with strings, and with None.

Names, titles, URIs, and keys and strings in metadata are compared in composed form (NFKC, without
invisible characters), so that decomposed and full-width letters make no difference; case does.
Scope ids and the other fields are compared exactly: two users must never be one.

NumPy's numbers and truth values are those of Python.

Types matter: 1 equals 1.0 but neither "1" nor true. Numbers are ordered, and so are strings (by
code point); other types are not.

A missing value matches only ``{"exists": false}``, so ``ne`` and ``not_in`` mean "exists and is
different". A JSON null exists and equals None. A field without a value is missing and equals None
too, so ``{"user_id": None}`` matches what belongs to no user. ``not`` is plain negation: it matches
whatever its filter does not, missing values included.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, false, func, not_, or_, true
from sqlalchemy.sql.elements import False_, True_

from agentmem_storage.errors import FilterError
from agentmem_storage.numbers import plain_scalar
from agentmem_storage.sql.schema.tables import sources
from agentmem_storage.sql.where import fields, metadata_values
from agentmem_storage.sql.where.fields import ORDER, PREFIX
from agentmem_storage.sql.where.plain_metadata import decided
from agentmem_storage.text import composed, lone_surrogate, shown

OPERATORS = ("eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "exists", "contains")
_JOINERS = ("and", "or", "not")
# SQLite limits nesting and bound values per statement; these leave room for the rest.
_MAX_DEPTH = 32
_MAX_CONDITIONS = 200
_MAX_FILTERS = 400
_MAX_VALUES = 5_000
# Python refuses to read integers of more than 4300 digits.
_MAX_BITS = 8192
# Longer JSON is parsed for every row, so that the cache of a connection stays below 1 MB.
_MAX_CACHED = 2048
_FUNCTION = "agentmem_metadata_matches"


def install(connection: sqlite3.Connection) -> Matcher:
    """Register the SQL function that metadata conditions call; returns what it calls."""
    matcher = Matcher()
    connection.create_function(_FUNCTION, 4, matcher, deterministic=True)
    connection.create_function("agentmem_composed", 1, _composed, deterministic=True)
    return matcher


class Compiled(NamedTuple):
    """A filter as SQL.

    Attributes:
        condition: Never NULL.
        reads_sources: Whether it is a condition on the table of sources, and not only on the column
            that names them.
    """

    condition: ColumnElement[bool]
    reads_sources: bool


def compile_filter(where: Mapping[str, Any]) -> ColumnElement[bool]:
    """Compile a filter to a condition on the joined tables of chunks and sources, never NULL.

    It reads the metadata of every row, which is the fastest where there are few.

    Raises:
        FilterError: An operator is unknown, or the filter is malformed.
    """
    return _Compiler(None).filter(where, 0)


def compile_by_value(where: Mapping[str, Any], source_id: ColumnElement[int]) -> Compiled:
    """Compile a filter that looks values up in an index, which is the fastest for many rows.

    Args:
        where: The filter.
        source_id: The column that names the source of a row.

    Raises:
        FilterError: As for `compile_filter`.
    """
    compiler = _Compiler(source_id)
    return Compiled(compiler.filter(where, 0), compiler.reads_sources)


def selects_everything(where: Mapping[str, Any]) -> bool:
    """Whether a filter has no condition that any row could fail, such as ``{"and": [{}]}``.

    Raises:
        FilterError: As for `compile_filter`.
    """
    # Constants are folded where conditions are combined.
    return isinstance(compile_filter(where), True_)


def metadata_keys(where: Mapping[str, Any]) -> tuple[str, ...]:
    """The metadata keys that a valid filter names, each once, without the prefix."""
    return tuple(dict.fromkeys(_metadata_keys(where)))


def _metadata_keys(where: Mapping[str, Any]) -> Iterator[str]:
    for name, value in where.items():
        if name in _JOINERS:
            for part in [value] if name == "not" else value:
                yield from _metadata_keys(part)
        elif name not in fields.FIELDS:
            yield name.removeprefix(PREFIX)


class Matcher:
    """Tests the metadata of one row after another; it belongs to one connection."""

    def __init__(self) -> None:
        # An operand repeats for every row, and metadata often repeat.
        self._cached = lru_cache(maxsize=256)(_parse)

    def __call__(self, metadata: bytes | None, path: str, op: str, operand: str) -> int:
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
            present, value = _look_up(self._read(metadata or b"{}"), path)
        except (TypeError, ValueError, RecursionError):
            # A damaged row satisfies nothing; `check` reports it.
            present, value = False, None
        wanted = self._read(operand)
        if op == "exists":
            return int(present is wanted)
        return int(present and _holds(value, op, wanted))

    def forget(self) -> None:
        """Drop what was read: metadata must not outlive in memory what is forgotten on disk."""
        self._cached.cache_clear()

    def _read(self, encoded: bytes | str) -> Any:
        return (self._cached if len(encoded) <= _MAX_CACHED else _parse)(encoded)


def _parse(encoded: bytes | str) -> Any:
    # Given bytes, json first detects their encoding, which doubles the time.
    return json.loads(encoded if isinstance(encoded, str) else encoded.decode())


def _composed(value: Any) -> Any:
    return composed(value) if isinstance(value, str) else value


def _look_up(node: Any, path: str) -> tuple[bool, Any]:
    if not isinstance(node, dict):
        return False, None
    found = _key(node, path)
    if found is not None:
        return True, node[found]
    head, dot, rest = path.partition(".")
    inner = _key(node, head) if dot else None
    return (False, None) if inner is None else _look_up(node[inner], rest)


def _key(node: dict[str, Any], name: str) -> str | None:
    """The key of that name: the same one if there is, or one that reads the same."""
    if name in node:
        return name
    wanted = composed(name)
    return next((key for key in node if composed(key) == wanted), None)


def _holds(value: Any, op: str, wanted: Any) -> bool:
    if op in ("eq", "ne"):
        return _same(value, wanted) is (op == "eq")
    if op in ("in", "not_in"):
        return any(_same(value, one) for one in wanted) is (op == "in")
    if op == "contains":
        if isinstance(value, list):
            return any(_same(member, wanted) for member in value)
        both = isinstance(value, str) and isinstance(wanted, str)
        return both and composed(wanted) in composed(value)
    comparable = _type(value) == _type(wanted) and _type(value) in ("number", "string")
    return comparable and bool(ORDER[op](_composed(value), _composed(wanted)))


def _same(value: Any, wanted: Any) -> bool:
    return _type(value) == _type(wanted) and bool(_composed(value) == _composed(wanted))


def _type(value: Any) -> str:
    """The JSON type; unlike in Python, a bool is not a number."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else type(value).__name__


def _all(parts: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
    """The conjunction of conditions; a constant if that follows from constants among them."""
    if any(isinstance(part, False_) for part in parts):
        return false()
    tests = [part for part in parts if not isinstance(part, True_)]
    return and_(*tests) if tests else true()


def _any(parts: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
    """The disjunction, likewise."""
    if any(isinstance(part, True_) for part in parts):
        return true()
    tests = [part for part in parts if not isinstance(part, False_)]
    return or_(*tests) if tests else false()


def _of_metadata(
    path: str, op: str, operand: Any, source_id: ColumnElement[int] | None
) -> ColumnElement[bool]:
    """A condition on metadata, which are read for each row if no column names its source."""
    call = getattr(func, _FUNCTION)(sources.c.metadata, path, op, json.dumps(operand))
    looked_up = decided(path, op, operand, call)
    if source_id is None:
        return looked_up
    return metadata_values.condition(path, op, operand, source_id, looked_up)


# It has no value, and every turn of a conversation has one.
_exists = lru_cache(maxsize=64)(partial(_of_metadata, op="exists"))


class _Compiler:
    """Compiles one filter and enforces the limits on its size."""

    def __init__(self, source_id: ColumnElement[int] | None) -> None:
        self._source_id = source_id
        self.reads_sources = False
        self._filters = 0
        self._conditions = 0
        self._values = 0

    def filter(self, where: object, depth: int) -> ColumnElement[bool]:
        if not isinstance(where, Mapping):
            raise FilterError(
                f"a filter is a mapping such as {{'channel': 'web'}}, got {shown(where)}"
            )
        self._filters += 1
        if self._filters > _MAX_FILTERS:
            raise FilterError(f"a filter may combine {_MAX_FILTERS} filters at most")
        if depth > _MAX_DEPTH:
            raise FilterError(f"a filter may be nested {_MAX_DEPTH} deep at most")
        return _all([self._entry(name, value, depth) for name, value in where.items()])

    def _entry(self, name: object, value: object, depth: int) -> ColumnElement[bool]:
        if not isinstance(name, str) or lone_surrogate(name) is not None:
            raise FilterError(f"a filter's names are strings, got {shown(name)}")
        if name == "not":
            return not_(self.filter(value, depth + 1))
        if name in _JOINERS:
            if not isinstance(value, list | tuple):
                raise FilterError(f"{name!r} takes a list of filters, got {shown(value)}")
            parts = [self.filter(part, depth + 1) for part in value]
            return _all(parts) if name == "and" else _any(parts)
        tests = value if isinstance(value, Mapping) else {"eq": value}
        if not tests:
            raise FilterError(f"{shown(name)} has no operator: one of {', '.join(OPERATORS)}")
        return _all([self._test(name, op, wanted) for op, wanted in tests.items()])

    def _test(self, name: str, op: object, wanted: object) -> ColumnElement[bool]:
        self._conditions += 1
        if self._conditions > _MAX_CONDITIONS:
            raise FilterError(f"a filter may have {_MAX_CONDITIONS} conditions at most")
        if op not in OPERATORS or not isinstance(op, str):
            raise FilterError(
                f"unknown operator {shown(op)} for {shown(name)}: one of {', '.join(OPERATORS)} "
                f"(and 'and', 'or', 'not' around filters)"
            )
        operand = self._operand(name, op, wanted)
        if op == "in" and not operand:
            return false()
        if name in fields.FIELDS:
            self.reads_sources |= name != "id"
            return fields.condition(name, op, operand)
        path = name.removeprefix(PREFIX)
        self.reads_sources |= self._source_id is None
        if op == "exists":
            return _exists(path, operand=operand, source_id=self._source_id)
        return _of_metadata(path, op, operand, self._source_id)

    def _operand(self, name: str, op: str, wanted: object) -> Any:
        read = fields.read_value if name in fields.FIELDS else _scalar
        wanted = plain_scalar(wanted)
        if op == "exists":
            if not isinstance(wanted, bool):
                raise FilterError(
                    f"'exists' of {shown(name)} takes True or False, got {shown(wanted)}"
                )
            return wanted
        if op in ("in", "not_in"):
            if not isinstance(wanted, list | tuple | set | frozenset):
                raise FilterError(
                    f"{op!r} of {shown(name)} takes a list of values, got {shown(wanted)}"
                )
            self._values += len(wanted)
            if self._values > _MAX_VALUES:
                raise FilterError(f"a filter may list {_MAX_VALUES} values at most")
            return [read(name, op, plain_scalar(one)) for one in wanted]
        return read(name, op, wanted)


def _scalar(name: str, op: str, value: object) -> Any:
    if op in ORDER and (value is None or isinstance(value, bool)):
        raise FilterError(f"{op!r} of {shown(name)} takes a number or a string, got {shown(value)}")
    if value is None or (isinstance(value, int) and value.bit_length() <= _MAX_BITS):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str) and lone_surrogate(value) is None:
        return value
    raise FilterError(
        f"{op!r} of {shown(name)} takes a string, a finite number, True, False or None, "
        f"got {shown(value)}"
    )
