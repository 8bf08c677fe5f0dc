"""LangGraph's filters over the values of items."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from agentmem.errors import FilterError
from agentmem_storage.text import shown

_ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_OPERATORS = ("$eq", "$ne", *_ORDERS)


def narrowed(filter: object, prefix: str) -> list[dict[str, Any]]:
    """Conditions of `Memory` that all values have that fulfill a filter, and some others too.

    Args:
        filter: LangGraph's filter.
        prefix: What stands before the name of a key in the metadata.

    Raises:
        FilterError: The filter is malformed.
    """
    if not isinstance(filter, Mapping):
        raise FilterError(f"a filter is a mapping such as {{'kind': 'note'}}, got {shown(filter)}")
    return [{f"{prefix}{name}": _narrowed(name, wanted)} for name, wanted in filter.items()]


def fulfills(value: Mapping[str, Any], filter: Mapping[str, Any]) -> bool:
    """Whether a value has all that a filter asks for."""
    return all(name in value and _holds(value[name], wanted) for name, wanted in filter.items())


def _is_test(wanted: object) -> bool:
    """Whether part of a filter consists of operators; if not, it is a value to compare with."""
    return isinstance(wanted, Mapping) and any(str(key).startswith("$") for key in wanted)


def _narrowed(name: object, wanted: Any) -> Mapping[str, Any]:
    """A condition of `Memory` on a key that holds wherever that of LangGraph does.

    Strings are only tested for equality: `Memory` takes some for the same that Python does not.
    """
    if not isinstance(name, str):
        raise FilterError(f"a filter's keys are strings, got {shown(name)}")
    if isinstance(wanted, Mapping) and not _is_test(wanted):
        for inner, one in wanted.items():
            _narrowed(inner, one)  # only checked
    tests = wanted if _is_test(wanted) else {"$eq": wanted}
    conditions: dict[str, Any] = {"exists": True}
    for test, operand in tests.items():
        if test not in _OPERATORS:
            raise FilterError(
                f"unknown operator {shown(test)} for {name!r}: one of {', '.join(_OPERATORS)}"
            )
        number = isinstance(operand, int | float) and not isinstance(operand, bool)
        if test in _ORDERS:
            if not number and not isinstance(operand, str):
                raise FilterError(
                    f"{test!r} of {name!r} takes a number or a string, got {shown(operand)}"
                )
            if number:
                conditions[test[1:]] = operand
        elif test == "$eq" and (number or operand is None or isinstance(operand, str | bool)):
            conditions["eq"] = operand
    return conditions


def _holds(value: Any, wanted: Any) -> bool:
    if _is_test(wanted):
        return all(_compare(value, test, operand) for test, operand in wanted.items())
    if isinstance(wanted, Mapping):
        return isinstance(value, dict) and fulfills(value, wanted)
    return _same(value, wanted)


def _compare(value: Any, test: str, operand: Any) -> bool:
    if test in ("$eq", "$ne"):
        return _same(value, operand) is (test == "$eq")
    kinds = [int | float, str]
    comparable = any(isinstance(value, kind) and isinstance(operand, kind) for kind in kinds)
    return comparable and not isinstance(value, bool) and _ORDERS[test](value, operand)


def _same(value: Any, wanted: Any) -> bool:
    """Whether two values are the same in JSON, where true is no number."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, dict) and isinstance(wanted, Mapping):
        return value.keys() == wanted.keys() and all(
            _same(value[key], wanted[key]) for key in value
        )
    if isinstance(value, list) and isinstance(wanted, list | tuple):
        return len(value) == len(wanted) and all(map(_same, value, wanted))
    return bool(value == wanted)
