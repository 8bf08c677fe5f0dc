"""LangGraph's long-term memory in agentmem: a complete `BaseStore`.

::

    from agentmem import Memory
    from agentmem.integrations.langgraph import AgentMemStore

    store = AgentMemStore(Memory("notes"))
    store.put(("users", "ana@example.org"), "diet", {"text": "Ana eats no meat."})
    store.search(("users",), query="what does Ana eat?")[0].value

An item is one document: its text is what `search` finds it by, and its metadata hold the value,
under ``langgraph_value``, and its namespace and key, under ``langgraph``. `Memory.recall` finds
items like any other memory, and the store sees none but its own.
"""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

from agentmem.errors import FilterError, InputError, MissingExtraError, UnknownIdError
from agentmem.ingest.checks import check_metadata, check_unicode
from agentmem.types import Document
from agentmem_storage.numbers import as_int
from agentmem_storage.text import is_blank, shown

try:
    from langgraph.store.base import (
        NOT_PROVIDED,
        BaseStore,
        GetOp,
        InvalidNamespaceError,
        Item,
        ListNamespacesOp,
        MatchCondition,
        PutOp,
        SearchItem,
        SearchOp,
        get_text_at_path,
    )
except ImportError as error:
    raise MissingExtraError(
        "AgentMemStore needs langgraph: pip install 'latent-agentmem[langgraph]'", extra="langgraph"
    ) from error

if TYPE_CHECKING:
    from agentmem.context.hits import Chunk
    from agentmem.context.recall import Recall
    from agentmem.memory import Memory

Namespace = tuple[str, ...]

# Keys of the metadata of an item.
_PATH: Final = "langgraph"
_VALUE: Final = "langgraph_value"
_UPDATED_AT: Final = "langgraph_updated_at"
_SEARCHED: Final = "langgraph_searched"

# What separates the labels and the key in a path, and the character after it.
_SLASH: Final = "/"
_AFTER_SLASH: Final = "0"
# Items that the first search ranks; each further one, for pages beyond, ranks more times as many.
_FIRST_RANKED = 64
_MORE = 4
# Paths that one filter lists.
_MAX_PATHS = 1000
_ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_OPERATORS = ("$eq", "$ne", *_ORDERS)

# What two threads put under one key must be one item. Writing takes turns anyway.
_WRITING = Lock()


class NamespaceError(InputError, InvalidNamespaceError):  # type: ignore[misc]
    """A namespace or a key cannot be one; LangGraph's InvalidNamespaceError as well."""


class UnsupportedTTLError(InputError, NotImplementedError):
    """Items do not expire."""


class AgentMemStore(BaseStore):  # type: ignore[misc]
    """A LangGraph store of items in a `Memory`, or in the part of it that a scoped handle accesses.

    It does what `BaseStore` documents, and needs no index configuration:

    - Any non-empty strings are namespaces and keys, with dots and slashes too.
    - Values come back as JSON has them, so a tuple as a list. To put an existing key replaces its
      value, and keeps its ``created_at``.
    - ``search(query=...)`` returns items best first; a ``score`` is 0 to 1, higher is better, and
      comparable within one search. An item is found by the strings of its value, or by the fields
      of its ``index``; one without any, or with ``index=False``, follows after those, unscored.
      Without a query, what was put last comes first. The pages of one search do not overlap.
    - Filters compare the top-level keys of values, as ``{"year": {"$gte": 2001}}``; all operators
      of LangGraph work, for numbers and for strings. A missing key fulfills none of them.
    - Items do not expire: a ``ttl`` is refused.
    - In one batch, reads come before writes.

    The async methods do their work in a thread. Safe to use from several threads and processes.
    """

    supports_ttl = False

    def __init__(self, memory: Memory) -> None:
        """A store in a memory, which the caller closes.

        Args:
            memory: An open `Memory`. A scoped handle, such as ``mem.scoped(agent_id="support")``,
                keeps items apart from those of other scopes.
        """
        self._memory = memory

    def batch(self, ops: Iterable[Any]) -> list[Any]:
        """The results of operations, in order; reads come before writes.

        Args:
            ops: LangGraph's GetOp, SearchOp, ListNamespacesOp and PutOp. Of several puts of one
                key, the last counts.

        Raises:
            NamespaceError: a label or a key is not a string, or is empty.
            UnsupportedTTLError: an item is to expire.
            FilterError: a filter is malformed.
            InputError: a value cannot be written as JSON, an operation is unknown, or a limit or
                an offset is negative. Nothing was read or written, here and above.
        """
        reads: list[Callable[[], Any]] = []
        writes: dict[str, Document | None] = {}
        for op in ops:
            if isinstance(op, PutOp):
                path = _path(op.namespace, op.key)
                writes.pop(path, None)
                writes[path] = _document(path, op)
                reads.append(_nothing)
            else:
                reads.append(self._read(op))
        results = [read() for read in reads]
        if writes:
            with _WRITING:
                self._write(writes)
        return results

    async def abatch(self, ops: Iterable[Any]) -> list[Any]:
        """As `batch`, in a thread."""
        return await asyncio.to_thread(self.batch, list(ops))

    # LangGraph's own methods refuse labels with a dot, so an e-mail address; these do not.

    def get(self, namespace: Namespace, key: str, *, refresh_ttl: bool | None = None) -> Any:
        """The `Item` of a key, or None; ``refresh_ttl`` has no effect."""
        return self.batch([GetOp(namespace, key)])[0]

    async def aget(self, namespace: Namespace, key: str, *, refresh_ttl: bool | None = None) -> Any:
        """As `get`."""
        return (await self.abatch([GetOp(namespace, key)]))[0]

    def search(
        self,
        namespace_prefix: Namespace,
        /,
        *,
        query: str | None = None,
        filter: Mapping[str, Any] | None = None,
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
    ) -> list[Any]:
        """The items of a namespace and those below it, as `SearchItem`.

        Args:
            namespace_prefix: The namespace; ``()`` for all.
            query: A question or keywords; None for everything, by time.
            filter: What the values must fulfill.
            limit: Maximum number of items.
            offset: Number of items to leave out before these.
            refresh_ttl: Has no effect.
        """
        op = SearchOp(namespace_prefix, filter, limit, offset, query)
        result: list[Any] = self.batch([op])[0]
        return result

    async def asearch(
        self,
        namespace_prefix: Namespace,
        /,
        *,
        query: str | None = None,
        filter: Mapping[str, Any] | None = None,
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
    ) -> list[Any]:
        """As `search`."""
        op = SearchOp(namespace_prefix, filter, limit, offset, query)
        result: list[Any] = (await self.abatch([op]))[0]
        return result

    def put(
        self,
        namespace: Namespace,
        key: str,
        value: Mapping[str, Any],
        index: Any = None,
        *,
        ttl: Any = NOT_PROVIDED,
    ) -> None:
        """Store a value, or replace the one under that key.

        Args:
            namespace: One label or more; the first must not be ``langgraph``, which is reserved.
            key: The key.
            value: A mapping that JSON can express.
            index: The paths of the fields that `search` finds it by, such as ``["title",
                "notes[*].text"]``; None for all its strings, False for none.
            ttl: None: items do not expire.
        """
        self.batch([_put_op(namespace, key, value, index, ttl)])

    async def aput(
        self,
        namespace: Namespace,
        key: str,
        value: Mapping[str, Any],
        index: Any = None,
        *,
        ttl: Any = NOT_PROVIDED,
    ) -> None:
        """As `put`."""
        await self.abatch([_put_op(namespace, key, value, index, ttl)])

    def delete(self, namespace: Namespace, key: str) -> None:
        """Delete an item, if there is one, so that no byte of it remains."""
        self.batch([PutOp(namespace, key, None)])

    async def adelete(self, namespace: Namespace, key: str) -> None:
        """As `delete`."""
        await self.abatch([PutOp(namespace, key, None)])

    def list_namespaces(
        self,
        *,
        prefix: Sequence[str] | None = None,
        suffix: Sequence[str] | None = None,
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Namespace]:
        """The namespaces that have items, sorted.

        Args:
            prefix: How they begin; ``"*"`` stands for any label.
            suffix: How they end, likewise.
            max_depth: Number of labels to which they are cut; equal ones are listed once.
            limit: Maximum number of namespaces.
            offset: Number of namespaces to leave out before these.
        """
        op = _list_op(prefix, suffix, max_depth, limit, offset)
        result: list[Namespace] = self.batch([op])[0]
        return result

    async def alist_namespaces(
        self,
        *,
        prefix: Sequence[str] | None = None,
        suffix: Sequence[str] | None = None,
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Namespace]:
        """As `list_namespaces`."""
        op = _list_op(prefix, suffix, max_depth, limit, offset)
        result: list[Namespace] = (await self.abatch([op]))[0]
        return result

    def _read(self, op: object) -> Callable[[], Any]:
        """What carries out an operation that has been checked."""
        if isinstance(op, GetOp):
            path = _path(op.namespace, op.key)
            return lambda: self._get(path)
        if isinstance(op, SearchOp):
            search = _Search.of(op)
            return lambda: self._search(search)
        if isinstance(op, ListNamespacesOp):
            _check_listing(op)
            return lambda: self._list(op)
        raise InputError(
            f"unknown operation {shown(op)}: GetOp, SearchOp, PutOp or ListNamespacesOp"
        )

    def _get(self, path: str) -> Any:
        found = self._stored({_PATH: path}).get(path)
        return None if found is None else Item(**_fields(found[-1]))

    def _search(self, search: _Search) -> list[Any]:
        if search.query:
            found = self._ranked(search.query, search.where)
        else:
            found = ((one, None) for one in self._newest(search.where))
        items = (
            SearchItem(**_fields(chunk), score=score)
            for chunk, score in found
            if _fulfills(chunk.metadata[_VALUE], search.filter)
        )
        return list(islice(items, search.offset, search.offset + search.limit))

    def _list(self, op: Any) -> list[Namespace]:
        found = {_namespace_and_key(path)[0] for path in self._stored({_PATH: {"exists": True}})}
        conditions = op.match_conditions or ()
        matching = {
            namespace[: op.max_depth]
            for namespace in found
            if all(_matches(namespace, condition) for condition in conditions)
        }
        return sorted(matching)[op.offset : op.offset + op.limit]

    def _stored(self, where: Mapping[str, Any]) -> dict[str, list[Chunk]]:
        """One chunk of each document, by path.

        A path has one document; for a moment it has several, oldest first, if two processes put it
        at the same time.
        """
        found: dict[str, dict[int, Chunk]] = {}
        for chunk in self._memory.list(where=where):
            found.setdefault(chunk.metadata[_PATH], {})[chunk.source.id] = chunk
        return {path: list(documents.values()) for path, documents in found.items()}

    def _newest(self, where: Mapping[str, Any]) -> list[Chunk]:
        """One chunk of each item, those first that were put last."""
        items = [documents[-1] for documents in self._stored(where).values()]
        return sorted(items, key=lambda one: (_updated_at(one), one.source.id), reverse=True)

    def _ranked(self, query: str, where: Mapping[str, Any]) -> Iterator[tuple[Chunk, float | None]]:
        """One chunk of each item, best first, and its score; then those that are not searched.

        The order does not depend on how many are read: pages of one search fit together.
        """
        seen: set[str] = set()
        k, lowest = _FIRST_RANKED, 1.0
        searched = {"and": [where, {_SEARCHED: True}]}
        while True:
            hits = self._memory.recall(query, k=k, where=searched)
            for chunk, score in self._with_repeats(hits):
                if (path := chunk.metadata[_PATH]) not in seen:
                    seen.add(path)
                    lowest = min(lowest, score)
                    yield chunk, lowest
            if len(hits) < k:
                break
            k *= _MORE
        for chunk in self._newest({"and": [where, {_SEARCHED: False}]}):
            yield chunk, None

    def _with_repeats(self, hits: Recall) -> Iterator[tuple[Chunk, float]]:
        """Hits, each followed by the items that have the same text; a recall only names these."""
        ids = [other.id for hit in hits for other in hit.occurrences]
        found = self._memory.list(where={"id": {"in": ids}}) if ids else ()
        repeats = {one.id: one for one in found}
        for hit in hits:
            yield hit, hit.score
            for other in hit.occurrences:
                if other.id in repeats:
                    yield repeats[other.id], hit.score

    def _write(self, writes: Mapping[str, Document | None]) -> None:
        while True:
            try:
                self._put(writes)
                return
            except UnknownIdError:
                continue  # another process replaced or deleted one of them meanwhile

    def _put(self, writes: Mapping[str, Document | None]) -> None:
        stored = self._documents_of(writes)
        new = {path: one for path, one in writes.items() if one and path not in stored}
        if new:
            self._memory.add(list(new.values()))
        for path, document in writes.items():
            if document and path in stored:
                self._memory.update(
                    stored[path][-1].id,
                    text=str(document.text),
                    metadata=document.metadata,
                )
        obsolete = [
            id
            for path, documents in (stored | self._documents_of(new)).items()
            for one in (documents[:-1] if writes[path] else documents)
            for id in one.source.chunk_ids
        ]
        if obsolete:
            self._memory.forget(obsolete)

    def _documents_of(self, paths: Iterable[str]) -> dict[str, list[Chunk]]:
        found: dict[str, list[Chunk]] = {}
        rest = list(paths)
        while rest:
            found |= self._stored({_PATH: {"in": rest[:_MAX_PATHS]}})
            rest = rest[_MAX_PATHS:]
        return found


@dataclass(frozen=True, slots=True)
class _Search:
    """A search that has been checked.

    Attributes:
        query: What to search for; None for everything.
        where: A filter of `Memory` that all items fulfill, and some others too, for speed.
        filter: The filter that decides.
        limit: Number of items.
        offset: Number of items before these.
    """

    query: str | None
    where: Mapping[str, Any]
    filter: Mapping[str, Any]
    limit: int
    offset: int

    @classmethod
    def of(cls, op: Any) -> _Search:
        prefix = _labels(op.namespace_prefix)
        within: dict[str, Any] = {"exists": True}
        if prefix:
            within = {"gte": prefix + _SLASH, "lt": prefix + _AFTER_SLASH}
        filter = {} if op.filter is None else op.filter
        if not isinstance(filter, Mapping):
            raise FilterError(
                f"a filter is a mapping such as {{'kind': 'note'}}, got {shown(filter)}"
            )
        narrowed = [{f"{_VALUE}.{name}": _narrowed(name, one)} for name, one in filter.items()]
        where = {"and": [{_PATH: within}, *narrowed]}
        limit, offset = _not_negative(op.limit, "limit"), _not_negative(op.offset, "offset")
        return cls(op.query, where, filter, limit, offset)


def _nothing() -> None:
    """The result of a put."""


def _put_op(namespace: Namespace, key: str, value: Any, index: Any, ttl: Any) -> Any:
    if value is None:
        raise InputError("the value of put() is None: use delete() to delete an item")
    return PutOp(namespace, key, value, index, None if ttl is NOT_PROVIDED else ttl)


def _list_op(
    prefix: Sequence[str] | None,
    suffix: Sequence[str] | None,
    max_depth: int | None,
    limit: int,
    offset: int,
) -> Any:
    given = (("prefix", prefix), ("suffix", suffix))
    conditions = tuple(MatchCondition(kind, tuple(path)) for kind, path in given if path)
    return ListNamespacesOp(conditions, max_depth, limit, offset)


def _labels(namespace: object) -> str:
    """A namespace as ASCII text, in which a slash separates the labels and occurs nowhere else."""
    if not isinstance(namespace, tuple | list):
        raise NamespaceError(f"a namespace is a tuple of strings, got {shown(namespace)}")
    return _SLASH.join(_label(label, f"a label of {shown(namespace)}") for label in namespace)


def _label(label: object, what: str) -> str:
    if not isinstance(label, str) or not label:
        raise NamespaceError(f"{what} must be a non-empty string, got {shown(label)}")
    return quote(check_unicode(label, what), safe="@:, ")


def _path(namespace: object, key: object) -> str:
    """A namespace and a key as one text; see `_labels`."""
    labels = _labels(namespace)
    if not labels:
        raise NamespaceError("an item needs a namespace of one label or more, such as ('notes',)")
    return labels + _SLASH + _label(key, "a key")


def _namespace_and_key(path: str) -> tuple[Namespace, str]:
    *labels, key = map(unquote, path.split(_SLASH))
    return tuple(labels), key


def _document(path: str, op: Any) -> Document | None:
    """What is stored for an item; None if it is to be deleted."""
    if op.ttl is not None:
        raise UnsupportedTTLError(
            f"items of AgentMemStore do not expire: put {shown(op.key)} with ttl=None, not {op.ttl}"
        )
    if op.value is None:
        return None
    if op.namespace[0] == "langgraph":
        raise NamespaceError(f"LangGraph keeps the namespace 'langgraph', got {op.namespace!r}")
    if not isinstance(op.value, Mapping):
        raise InputError(f"the value of {shown(op.key)} must be a mapping, got {shown(op.value)}")
    value = check_metadata({_VALUE: dict(op.value)}, f"the value of {shown(op.key)}")[_VALUE]
    texts = [text for text in _texts(value, op.index) if not is_blank(text)]
    metadata = {
        _PATH: path,
        _SEARCHED: bool(texts),
        _UPDATED_AT: datetime.now(UTC).isoformat(),
        _VALUE: value,
    }
    # A memory has a text. Of an item that is not to be found by any, it is where the item is.
    return Document("\n".join(texts) or path, metadata=metadata)


def _texts(value: object, index: object) -> Iterator[str]:
    """The texts of a value that it is found by."""
    if index is None:
        yield from _strings(value)
    elif isinstance(index, list | tuple) and all(isinstance(one, str) for one in index):
        for field in index:
            yield from get_text_at_path(value, field)
    elif index is not False:
        raise InputError(
            f"index is a list of fields such as ['title', 'notes[*].text'], False or None, got "
            f"{shown(index)}"
        )


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def _updated_at(chunk: Chunk) -> datetime:
    return datetime.fromisoformat(chunk.metadata[_UPDATED_AT])


def _fields(chunk: Chunk) -> dict[str, Any]:
    """The fields of an `Item`."""
    namespace, key = _namespace_and_key(chunk.metadata[_PATH])
    return {
        "namespace": namespace,
        "key": key,
        "value": chunk.metadata[_VALUE],
        "created_at": chunk.created_at,
        "updated_at": _updated_at(chunk),
    }


def _not_negative(number: object, what: str) -> int:
    if (value := as_int(number, what)) < 0:
        raise InputError(f"{what} must be 0 or more, got {value}")
    return value


def _check_listing(op: Any) -> None:
    _not_negative(op.limit, "limit")
    _not_negative(op.offset, "offset")
    if op.max_depth is not None and as_int(op.max_depth, "max_depth") < 1:
        raise InputError(f"max_depth must be 1 or more, got {op.max_depth}")
    for condition in op.match_conditions or ():
        _labels(condition.path)
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
    narrowed: dict[str, Any] = {"exists": True}
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
                narrowed[test[1:]] = operand
        elif test == "$eq" and (number or operand is None or isinstance(operand, str | bool)):
            narrowed["eq"] = operand
    return narrowed


def _fulfills(value: Mapping[str, Any], filter: Mapping[str, Any]) -> bool:
    """Whether a value has all that a filter asks for."""
    return all(name in value and _holds(value[name], wanted) for name, wanted in filter.items())


def _holds(value: Any, wanted: Any) -> bool:
    if _is_test(wanted):
        return all(_compare(value, test, operand) for test, operand in wanted.items())
    if isinstance(wanted, Mapping):
        return isinstance(value, dict) and _fulfills(value, wanted)
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
