"""Compiled statements of an engine: with those that may quote a memory apart, to drop these alone.

SQLAlchemy keeps with a compiled statement the values that it was first run with. What has been
forgotten must not stay there, but to compile every statement again costs more than to forget.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping
from typing import Any, Final

from sqlalchemy import Engine
from sqlalchemy.engine.interfaces import Compiled
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.util import LRUCache

_OPTION: Final = "compiled_cache"
# As many as SQLAlchemy keeps, which drops the least used ones beyond half as many more.
_MOST: Final = 500
# Ids and limits are smaller; times, numbers of telephones and the like are not.
_BOUND: Final = 2**30
# Of statements themselves.
_WORDS: Final = {"", "document", "integer"}
_ID_LIST: Final = re.compile(r"\[(?:\d{1,9}(?:, \d{1,9})*)?\]")


class _Statements(MutableMapping[Any, Compiled]):
    """A cache of compiled statements, as SQLAlchemy's option ``compiled_cache`` takes it."""

    def __init__(self) -> None:
        self._plain: LRUCache[Any, Compiled] = LRUCache(_MOST)
        self._quoting: LRUCache[Any, Compiled] = LRUCache(_MOST)

    def __getitem__(self, key: Any) -> Compiled:
        found = self._plain.get(key) or self._quoting.get(key)
        if found is None:
            raise KeyError(key)
        return found

    def __setitem__(self, key: Any, statement: Compiled) -> None:
        (self._quoting if _quotes(statement) else self._plain)[key] = statement

    def __delitem__(self, key: Any) -> None:
        del (self._plain if key in self._plain else self._quoting)[key]

    def __iter__(self) -> Iterator[Any]:
        yield from self._plain
        yield from self._quoting

    def __len__(self) -> int:
        return len(self._plain) + len(self._quoting)

    def drop_quoting(self) -> None:
        self._quoting = LRUCache(_MOST)


def cached() -> dict[str, Any]:
    """The execution options of an engine that keeps its statements so."""
    return {_OPTION: _Statements()}


def drop_quoting(engine: Engine) -> None:
    """Drop the statements of an engine made with `cached` that may quote a memory."""
    engine.get_execution_options()[_OPTION].drop_quoting()


def _quotes(statement: Compiled) -> bool:
    if not isinstance(statement, SQLCompiler):
        return True
    return not all(one.required or _is_plain(one.value) for one in statement.binds.values())


def _is_plain(value: object) -> bool:
    if isinstance(value, int | float):
        return -_BOUND < value < _BOUND
    if isinstance(value, str):
        return value in _WORDS or _ID_LIST.fullmatch(value) is not None
    return value is None
