"""`AgentMemStore`: what LangGraph calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langgraph.store.base import (
    NOT_PROVIDED,
    BaseStore,
    GetOp,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
    TTLConfig,
)

from agentmem.errors import InputError
from agentmem.integrations.langgraph.items import Put, minutes, read_put
from agentmem.integrations.langgraph.names import Namespace
from agentmem.integrations.langgraph.reads import reading
from agentmem.integrations.langgraph.writes import write
from agentmem_storage.text import shown

if TYPE_CHECKING:
    from agentmem.memory import Memory

_TTL_SETTINGS = ("default_ttl", "refresh_on_read")


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
    - An item with a ``ttl`` is in no result as soon as its time is over. Whoever gets or finds it
      before starts its time anew, unless ``refresh_ttl`` is False. `sweep_ttl` erases what is over.
    - In one batch, reads come before writes.

    The async methods do their work in a thread. Safe to use from several threads and processes.
    """

    supports_ttl = True

    def __init__(self, memory: Memory, *, ttl: TTLConfig | None = None) -> None:
        """A store in a memory, which the caller closes.

        Args:
            memory: An open `Memory`. A scoped handle, such as ``mem.scoped(agent_id="support")``,
                keeps items apart from those of other scopes.
            ttl: ``default_ttl``, in minutes, of items that are put without one; and
                ``refresh_on_read``, whether reading starts their time anew by default.

        Raises:
            InputError: ``ttl`` has another setting, or the time is not above 0.
        """
        for name, value in (ttl or {}).items():
            if name not in _TTL_SETTINGS:
                raise InputError(
                    f"unknown setting {shown(name)} of ttl: {', '.join(_TTL_SETTINGS)}; expired "
                    f"items are always omitted, and sweep_ttl() erases them"
                )
            if name == "default_ttl" and value is not None:
                minutes(value, name)
        self.ttl_config = ttl
        self._memory = memory

    def batch(self, ops: Iterable[Any]) -> list[Any]:
        """The results of operations, in order; reads come before writes.

        Args:
            ops: LangGraph's GetOp, SearchOp, ListNamespacesOp and PutOp. Of several puts of one
                key, the last counts.

        Raises:
            NamespaceError: a label or a key is not a string, or is empty.
            FilterError: a filter is malformed.
            InputError: a value cannot be written as JSON, an operation is unknown, a limit or an
                offset is negative, or a ttl is not above 0. Nothing was read or written, here and
                above.
        """
        reads: list[Callable[[], Any]] = []
        writes: dict[str, Put] = {}
        for op in ops:
            if isinstance(op, PutOp):
                put = read_put(op)
                writes.pop(put.id, None)
                writes[put.id] = put
                reads.append(_nothing)
            else:
                reads.append(reading(self._memory, op))
        results = [read() for read in reads]
        write(self._memory, writes)
        return results

    async def abatch(self, ops: Iterable[Any]) -> list[Any]:
        """As `batch`, in a thread."""
        return await asyncio.to_thread(self.batch, list(ops))

    # LangGraph's own methods refuse labels with a dot, so an e-mail address; these do not.

    def get(self, namespace: Namespace, key: str, *, refresh_ttl: bool | None = None) -> Any:
        """The `Item` of a key, or None.

        Args:
            namespace: Its namespace.
            key: Its key.
            refresh_ttl: Whether its time to live begins anew; None for what the store is set to.
        """
        return self.batch([GetOp(namespace, key, self._refreshes(refresh_ttl))])[0]

    async def aget(self, namespace: Namespace, key: str, *, refresh_ttl: bool | None = None) -> Any:
        """As `get`."""
        op = GetOp(namespace, key, self._refreshes(refresh_ttl))
        return (await self.abatch([op]))[0]

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
            refresh_ttl: As in `get`, of the items that are returned.
        """
        refresh = self._refreshes(refresh_ttl)
        op = SearchOp(namespace_prefix, filter, limit, offset, query, refresh)
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
        refresh = self._refreshes(refresh_ttl)
        op = SearchOp(namespace_prefix, filter, limit, offset, query, refresh)
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
            ttl: How long it lives after the last access, in minutes; None for ever. By default what
                the store is set to.
        """
        self.batch([self._put_op(namespace, key, value, index, ttl)])

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
        await self.abatch([self._put_op(namespace, key, value, index, ttl)])

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

    def sweep_ttl(self) -> int:
        """Erase what has expired, as `Memory.gc` does; the number of items and other sources.

        Raises:
            InputError: the memory is a `RemoteMemory`, which cannot.
        """
        if not hasattr(self._memory, "gc"):
            raise InputError(
                "sweep_ttl() works where the store is, as `agentmem gc` does; what has expired is "
                "in no result before"
            )
        return self._memory.gc().sources

    async def asweep_ttl(self) -> int:
        """As `sweep_ttl`."""
        return await asyncio.to_thread(self.sweep_ttl)

    def _refreshes(self, given: bool | None) -> bool:
        if given is not None:
            return given
        return bool((self.ttl_config or {}).get("refresh_on_read", True))

    def _put_op(self, namespace: Namespace, key: str, value: Any, index: Any, ttl: Any) -> PutOp:
        if value is None:
            raise InputError("the value of put() is None: use delete() to delete an item")
        if ttl is NOT_PROVIDED:
            ttl = (self.ttl_config or {}).get("default_ttl")
        return PutOp(namespace, key, value, index, ttl)


def _nothing() -> None:
    """The result of a put."""


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
