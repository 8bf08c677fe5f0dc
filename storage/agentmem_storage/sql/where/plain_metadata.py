"""Metadata conditions that SQLite can decide by itself, which takes a quarter of the time.

SQLite's JSON functions disagree with Python about some JSON, and from version to version: escapes,
other letters than ASCII, which are compared in composed form, numbers of many digits, and damage.
So they only look at rows whose metadata are plain, and there only at what they surely tell; all
else is left to `agentmem_storage.sql.where.filters.Matcher`. (One kind of damage they do not
notice: a byte that no UTF-8 has, in metadata that are plain otherwise. `check` reports it.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Text,
    and_,
    bindparam,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    literal_column,
    not_,
    null,
    select,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from agentmem_storage.sql.schema.tables import sources
from agentmem_storage.sql.where.fields import ORDER
from agentmem_storage.text import composed

# Names of keys that mean the same to SQLite as to Python; a dot descends.
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_MAX_INTEGER = 2**63 - 1
# Relative distance from which on SQLite, whose numbers are not exact in all versions, is right.
_FAR = 1e-9
_TINY = 1e-300
_NUMBERS = ("integer", "real")

_TEXT = cast(sources.c.metadata, Text)
# Only ASCII, so that there are as many characters as bytes, and no escapes.
_PLAIN = and_(
    func.instr(sources.c.metadata, literal_column("x'5C'")) == 0,
    func.length(_TEXT) == func.length(sources.c.metadata),
    func.json_valid(_TEXT) == 1,
)
_UNSURE: ColumnElement[Any] = null()
_INTEGER: ColumnElement[str] = literal_column("'integer'")


class _Decided(FunctionElement[int]):
    """1 or 0 in two forms: with SQLite's JSON functions, and for other databases the call alone."""

    inherit_cache = True
    name = "decided"
    type = Integer()


@compiles(_Decided)
def _with_json(element: _Decided, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(list(element.clauses)[0], **options)


@compiles(_Decided, "postgresql")
def _as_call(element: _Decided, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(list(element.clauses)[1], **options)


def decided(path: str, op: str, operand: Any, otherwise: ColumnElement[Any]) -> ColumnElement[bool]:
    """A condition on metadata, decided by SQLite for rows of which it is sure.

    Args:
        path: Name of the key, as in a filter.
        op: One of the operators of a filter.
        operand: Its operand, checked.
        otherwise: The same condition as a call of Python, which gives 1 or 0.
    """
    if not _NAME.fullmatch(path):
        return otherwise == 1
    key: ColumnElement[str] = bindparam(None, f'$."{path}"', unique=True)
    kind, value = func.json_type(_TEXT, key), func.json_extract(_TEXT, key)
    sure = _holds(kind, value, key, op, operand)
    missing = literal(int(op == "exists" and not operand))
    outcome = case(
        (sources.c.metadata.is_(None), missing),
        (_PLAIN, func.coalesce(sure, otherwise)),
        else_=otherwise,
    )
    return _Decided(outcome, otherwise) == 1


def _holds(
    kind: ColumnElement[str],
    value: ColumnElement[Any],
    key: ColumnElement[str],
    op: str,
    operand: Any,
) -> ColumnElement[Any]:
    """Whether the value of a key satisfies a condition; NULL where that is not sure.

    Args:
        kind: Its JSON type; NULL if there is no such key.
        value: The value.
        key: Its path.
        op: As in `decided`.
        operand: Likewise.
    """
    present = kind.is_not(None)
    if op == "exists":
        return present if operand else not_(present)
    if op in ("eq", "in"):
        return _is_one_of(kind, value, operand if op == "in" else [operand])
    if op in ("ne", "not_in"):
        wanted = operand if op == "not_in" else [operand]
        return and_(present, not_(_is_one_of(kind, value, wanted)))
    if op == "contains":
        return _contains(kind, value, key, operand)
    if isinstance(operand, str):
        return _by_kind(kind, {"text": ORDER[op](value, composed(operand))})
    if isinstance(operand, int) and not _is_integer(operand):
        return _by_kind(kind, dict.fromkeys(_NUMBERS, _UNSURE))
    number = float(operand)
    near = max(abs(number) * _FAR, _TINY)
    # What integers have between them cannot overflow: SQLite goes on with floating point.
    far = not_((value - literal(number)).between(-near, near))
    sure = case((far, ORDER[op](value, number)), else_=_UNSURE)
    if _is_integer(operand):
        exact = func.typeof(value) == _INTEGER
        sure = case((exact, ORDER[op](value, operand)), else_=sure)
    return _by_kind(kind, dict.fromkeys(_NUMBERS, sure))


def _is_one_of(
    kind: ColumnElement[str], value: ColumnElement[Any], wanted: Sequence[Any]
) -> ColumnElement[Any]:
    texts = [composed(one) for one in wanted if isinstance(one, str)]
    numbers = [one for one in wanted if _is_number(one)]
    by_kind: dict[str, ColumnElement[Any]] = {}
    if texts:
        by_kind["text"] = _listed(value, texts)
    if numbers:
        by_kind["integer"] = by_kind["real"] = _UNSURE
        if all(_is_integer(one) for one in numbers):
            exact = func.typeof(value) == _INTEGER
            by_kind["integer"] = case((exact, _listed(value, numbers)), else_=_UNSURE)
    for one, name in ((None, "null"), (True, "true"), (False, "false")):
        if any(item is one for item in wanted):
            by_kind[name] = true()
    return _by_kind(kind, by_kind)


def _contains(
    kind: ColumnElement[str], value: ColumnElement[Any], key: ColumnElement[str], operand: Any
) -> ColumnElement[Any]:
    """A substring of a text, or a member of a list."""
    if not isinstance(operand, str):
        return _by_kind(kind, {"array": _UNSURE})
    text = composed(operand)
    members = func.json_each(_TEXT, key).table_valued("value", "type")
    same = and_(members.c.type == "text", members.c.value == text)
    return _by_kind(kind, {"text": func.instr(value, text) > 0, "array": exists().where(same)})


def _by_kind(
    kind: ColumnElement[str], outcomes: dict[str, ColumnElement[Any]]
) -> ColumnElement[Any]:
    """An outcome by the JSON type of the value; false for the others, and without a value."""
    if not outcomes:
        return false()
    # Not as parameters, whose number is limited.
    names: dict[str, ColumnElement[str]] = {name: literal_column(f"'{name}'") for name in outcomes}
    return case(*((kind == names[name], made) for name, made in outcomes.items()), else_=false())


def _listed(value: ColumnElement[Any], wanted: Sequence[Any]) -> ColumnElement[bool]:
    """Whether a value is one of several, however many, with one parameter."""
    if len(wanted) == 1:
        return value == literal(wanted[0])
    values = func.json_each(json.dumps(wanted)).table_valued("value")
    return value.in_(select(values.c.value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: object) -> bool:
    """Whether SQLite has it as an integer."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MAX_INTEGER
