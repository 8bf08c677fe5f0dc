"""The fields that a filter can name, each as conditions on the tables it is stored in.

Every function here expects a valid operator. A condition is never NULL.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, false, func, not_, or_, select, true

from agentmem_storage.errors import FilterError, InputError
from agentmem_storage.sql.schema.tables import chunks, scopes, sources
from agentmem_storage.text import composed, lone_surrogate, shown
from agentmem_storage.timestamps import read_timestamp, to_micros

SCOPE_IDS = ("user_id", "agent_id", "session_id")
TEXTS = ("kind", "role", "name", "title", "uri", "external_id")
# Those that people write, compared in composed form.
WRITTEN = ("name", "title", "uri")
IDS = ("id", "source_id")
TIMES = ("created_at",)
FIELDS = (*SCOPE_IDS, *TEXTS, *IDS, *TIMES)

PREFIX = "metadata."
ORDER: dict[str, Callable[[Any, Any], Any]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_COLUMNS: dict[str, ColumnElement[Any]] = {
    **{name: scopes.c[name] for name in SCOPE_IDS},
    **{name: sources.c[name] for name in (*TEXTS, *TIMES)},
    "id": chunks.c.id,
    "source_id": sources.c.id,
}
# Fields that every row has.
_NEVER_MISSING = ("kind", *IDS, *TIMES)
_MAX_ID = 2**63 - 1


def read_value(name: str, op: str, value: object) -> Any:
    """A value to compare a field with, as the database stores it.

    Raises:
        FilterError: It is of the wrong type, or the field does not take the operator.
    """
    if op == "contains" and name not in (*SCOPE_IDS, *TEXTS):
        raise FilterError(f"{name!r} takes any operator but 'contains'")
    if name in TIMES:
        return _micros(name, op, value)
    return _id(name, op, value) if name in IDS else _text(name, op, value)


def condition(name: str, op: str, wanted: Any) -> ColumnElement[bool]:
    """The condition that a field fulfils one test.

    Args:
        name: One of `FIELDS`.
        op: One of `agentmem_storage.sql.where.filters.OPERATORS`.
        wanted: The operand: a bool for ``exists``, otherwise as `read_value` returns it, in a list
            for ``in`` and ``not_in``.
    """
    if op == "exists" and name in _NEVER_MISSING:
        return true() if wanted else false()
    if op == "not_in" and not wanted and name in _NEVER_MISSING:
        return true()
    column: ColumnElement[Any] = _COLUMNS[name]
    if name in WRITTEN:
        column = func.agentmem_composed(column, type_=Text)
    held = _holds(column, op, wanted)
    if name == "external_id" and op in ("eq", "in") and None not in _listed(op, wanted):
        # So that the index is used, whatever else the filter says.
        return sources.c.id.in_(select(sources.c.id).where(held).correlate(None))
    if name in SCOPE_IDS:
        return sources.c.scope_id.in_(select(scopes.c.id).where(held))
    return held


def _holds(column: ColumnElement[Any], op: str, wanted: Any) -> ColumnElement[bool]:
    if op == "exists":
        return column.is_not(None) if wanted else column.is_(None)
    if op in ("ne", "not_in"):
        # Both mean "exists and is different".
        opposite = "eq" if op == "ne" else "in"
        return and_(column.is_not(None), not_(_holds(column, opposite, wanted)))
    if op == "eq":
        return _holds(column, "in", [wanted])
    if op == "in":
        values = [value for value in wanted if value is not None]
        among = and_(column.is_not(None), column.in_(values))
        return or_(column.is_(None), among) if len(values) < len(wanted) else among
    compared = ORDER[op](column, wanted) if op in ORDER else func.instr(column, wanted) > 0
    return and_(column.is_not(None), compared)


def _listed(op: str, wanted: Any) -> list[Any]:
    return list(wanted) if op == "in" else [wanted]


def _text(name: str, op: str, value: object) -> str | None:
    if isinstance(value, str) and lone_surrogate(value) is None:
        return composed(value) if name in WRITTEN else value
    if value is None and op in ("eq", "ne", "in", "not_in"):
        return None
    raise FilterError(
        f"{name!r} is a string: {op!r} compares it with one, not with {shown(value)} (a missing "
        f"one is {{{name!r}: None}}, a metadata key {PREFIX + name!r})"
    )


def _id(name: str, op: str, value: object) -> int:
    if not isinstance(value, bool):
        try:
            number = operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            pass
        else:
            if -_MAX_ID <= number <= _MAX_ID:
                return number
    raise FilterError(
        f"{name!r} is an id: {op!r} compares it with a whole number of at most 63 bits, not with "
        f"{shown(value)} (a metadata key is {PREFIX + name!r})"
    )


def _micros(name: str, op: str, value: object) -> int:
    try:
        return to_micros(read_timestamp(value), name)
    except (TypeError, ValueError, OverflowError, InputError):
        raise FilterError(
            f"{op!r} of {name!r} takes a time: a datetime, an ISO 8601 string such as "
            f"'2026-02-13T09:40:00Z', or seconds since 1970, got {shown(value)}"
        ) from None
