"""Gets, searches and lists of namespaces, over the items in a `Memory`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from langgraph.store.base import GetOp, ListNamespacesOp, SearchOp

from agentmem.errors import InputError, UnknownIdError
from agentmem.integrations.langgraph.filters import fulfills, narrowed
from agentmem.integrations.langgraph.items import (
    SEARCHED,
    VALUE,
    as_item,
    as_search_item,
    life_of,
    namespace_of,
    updated_at,
)
from agentmem.integrations.langgraph.names import Namespace, below, check_path, item_id
from agentmem.integrations.repeats import with_repeats
from agentmem_storage.numbers import as_count, as_int
from agentmem_storage.text import is_blank, shown

if TYPE_CHECKING:
    from agentmem.context.hits import Chunk
    from agentmem.memory import Memory

# Items that the first search ranks; each further one, for pages beyond, ranks more times as many.
_FIRST_RANKED = 64
_MORE = 4


def reading(memory: Memory, op: object) -> Callable[[], Any]:
    """What carries out an operation that has been checked.

    Raises:
        InputError: The operation is unknown, or something in it is wrong.
    """
    if isinstance(op, GetOp):
        id = item_id(op.namespace, op.key)
        return lambda: _get(memory, id, refresh=bool(op.refresh_ttl))
    if isinstance(op, SearchOp):
        search = _Search.of(op)
        return lambda: search.run(memory)
    if isinstance(op, ListNamespacesOp):
        _check_listing(op)
        return lambda: _list_namespaces(memory, op)
    raise InputError(f"unknown operation {shown(op)}: GetOp, SearchOp, PutOp or ListNamespacesOp")


def _get(memory: Memory, id: str, *, refresh: bool) -> Any:
    found = _items(memory, {"external_id": id})
    if not found:
        return None
    # There are several only if the memory is that of several scopes.
    newest = max(found, key=updated_at)
    if refresh:
        _refresh(memory, [newest])
    return as_item(newest)


@dataclass(frozen=True, slots=True)
class _Search:
    """A search that has been checked.

    Attributes:
        query: What to search for; None for everything.
        where: A filter of `Memory` that all items fulfill, and some others too, for speed.
        filter: The filter that decides.
        limit: Number of items.
        offset: Number of items before these.
        refresh: Whether what is found lives longer for it.
    """

    query: str | None
    where: Mapping[str, Any]
    filter: Mapping[str, Any]
    limit: int
    offset: int
    refresh: bool

    @classmethod
    def of(cls, op: Any) -> _Search:
        filter = {} if op.filter is None else op.filter
        where = {"and": [below(op.namespace_prefix), *narrowed(filter, f"{VALUE}.")]}
        limit, offset = as_count(op.limit, "limit"), as_count(op.offset, "offset")
        return cls(op.query, where, filter, limit, offset, bool(op.refresh_ttl))

    def run(self, memory: Memory) -> list[Any]:
        """The items that are found."""
        # A graph searches by what a user sent, which may be a blank.
        if self.query and not is_blank(self.query):
            ranked = _ranked(memory, self.query, self.where)
        else:
            ranked = ((one, None) for one in _newest(memory, self.where))
        matching = (pair for pair in ranked if fulfills(pair[0].metadata[VALUE], self.filter))
        found = list(islice(matching, self.offset, self.offset + self.limit))
        if self.refresh:
            _refresh(memory, [chunk for chunk, _ in found])
        return [as_search_item(chunk, score) for chunk, score in found]


def _list_namespaces(memory: Memory, op: Any) -> list[Namespace]:
    conditions = op.match_conditions or ()
    matching = {
        namespace[: op.max_depth]
        for namespace in map(namespace_of, _items(memory, below(())))
        if all(_matches(namespace, condition) for condition in conditions)
    }
    return sorted(matching)[op.offset : op.offset + op.limit]


def _items(memory: Memory, where: Mapping[str, Any]) -> list[Chunk]:
    """One chunk of each item."""
    found: dict[int, Chunk] = {}
    for chunk in memory.list(where=where):
        found.setdefault(chunk.source.id, chunk)
    return list(found.values())


def _newest(memory: Memory, where: Mapping[str, Any]) -> list[Chunk]:
    """One chunk of each item, those first that were put last."""
    order = sorted(_items(memory, where), key=lambda one: (updated_at(one), one.source.id))
    return order[::-1]


def _ranked(
    memory: Memory, query: str, where: Mapping[str, Any]
) -> Iterator[tuple[Chunk, float | None]]:
    """One chunk of each item, best first, and its score; then those that are not searched.

    The order does not depend on how many are read: pages of one search fit together.
    """
    seen: set[int] = set()
    k, lowest = _FIRST_RANKED, 1.0
    searched = {"and": [where, {SEARCHED: True}]}
    while True:
        hits = memory.recall(query, k=k, where=searched)
        for chunk, score in with_repeats(memory, hits):
            if chunk.source.id not in seen:
                seen.add(chunk.source.id)
                lowest = min(lowest, score)
                yield chunk, lowest
        if len(hits) < k:
            break
        k *= _MORE
    for chunk in _newest(memory, {"and": [where, {SEARCHED: False}]}):
        yield chunk, None


def _refresh(memory: Memory, chunks: Iterable[Chunk]) -> None:
    """Let items that expire live as long again from now on."""
    for chunk in chunks:
        if (life := life_of(chunk)) is not None:
            with suppress(UnknownIdError):  # put again or deleted meanwhile
                memory.update(chunk.id, ttl=life)


def _check_listing(op: Any) -> None:
    as_count(op.limit, "limit")
    as_count(op.offset, "offset")
    if op.max_depth is not None and as_int(op.max_depth, "max_depth") < 1:
        raise InputError(f"max_depth must be 1 or more, got {op.max_depth}")
    for condition in op.match_conditions or ():
        check_path(condition.path)
        if condition.match_type not in ("prefix", "suffix"):
            raise InputError(f"match_type is 'prefix' or 'suffix', got {condition.match_type!r}")


def _matches(namespace: Namespace, condition: Any) -> bool:
    path: Sequence[str] = condition.path
    if len(path) > len(namespace):
        return False
    part = namespace[: len(path)]
    if condition.match_type == "suffix":
        part = namespace[len(namespace) - len(path) :]
    return all(wanted in ("*", label) for label, wanted in zip(part, path, strict=True))
