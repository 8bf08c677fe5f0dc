"""Filters by what a field never has: they match nothing by mistake, or everything if negated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from agentmem.errors import FilterError
from agentmem.types import Role
from agentmem_storage.records import SourceKind
from agentmem_storage.text import shown

W = TypeVar("W")

_VALUES = {"role": get_args(Role), "kind": get_args(SourceKind)}
_EXACT = ("eq", "ne", "in", "not_in")
# A filter that is nested deeper is refused by the store.
_MAX_DEPTH = 40


def checked(where: W) -> W:
    """A filter, as it is; its form is for the store to check.

    Raises:
        FilterError: it compares a role or a kind with what is none.
    """
    _check(where, _MAX_DEPTH)
    return where


def _check(where: object, depth: int) -> None:
    if not isinstance(where, Mapping) or not depth:
        return
    for name, value in where.items():
        if name == "not":
            _check(value, depth - 1)
        elif name in ("and", "or"):
            for one in value if isinstance(value, list | tuple) else ():
                _check(one, depth - 1)
        elif name in _VALUES:
            _check_values(name, value)


def _check_values(name: str, tests: Any) -> None:
    for op, wanted in tests.items() if isinstance(tests, Mapping) else [("eq", tests)]:
        listed = isinstance(wanted, list | tuple | set | frozenset)
        for one in wanted if listed else [wanted]:
            if op in _EXACT and isinstance(one, str) and one not in _VALUES[name]:
                hint = " (what was added by 'human' is of 'user')" if name == "role" else ""
                raise FilterError(
                    f"{name!r} is never {shown(one)}, but one of {', '.join(_VALUES[name])}{hint}"
                )
