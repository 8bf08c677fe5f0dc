"""`AsyncMemory`: the methods of `Memory` for asyncio, run by a few worker threads.

::

    async with AsyncMemory("notes") as mem:
        await mem.add("Booked the 9:40 to Lyon", user_id="ana")
        hits = await mem.recall("when is my train?", user_id="ana")
        async for chunk in mem.list(user_id="ana"):
            print(chunk.text)

Arguments, results and errors are those of `Memory`. The event loop never waits for a model or a
disk: returned hits have already been decoded by the worker. Only ``pack(policy="auto")`` reads the
store: ``await asyncio.to_thread(hits.pack, ...)``.

Calls that change something run one at a time, in the order they were made. Calls that only read run
beside them, and see all that had been acknowledged when they were made. A call that is cancelled
before it starts does not run; one that has started runs to completion. ``on_progress`` is called in
the worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial, wraps
from inspect import signature
from itertools import chain, islice
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from agentmem.chat.async_session import AsyncSession
from agentmem.chat.tools import AsyncTools, ToolFormat
from agentmem.context.hits import Chunk
from agentmem.context.recall import Recall
from agentmem.context.source import Source
from agentmem.context.timeline import Episode
from agentmem.errors import CorruptRecordError, StoreError
from agentmem.memory import Memory
from agentmem.scopes import ReadId
from agentmem.workers import Workers
from agentmem_storage.records import UNSET

P = ParamSpec("P")
R = TypeVar("R")

_BATCH = 64  # chunks that `list` reads at a time


def _constructor(
    make: Callable[P, Memory],
) -> Callable[Concatenate[AsyncMemory, P], None]:
    @wraps(Memory.__init__)
    def init(self: AsyncMemory, /, *args: P.args, **kwargs: P.kwargs) -> None:
        signature(make).bind(*args, **kwargs)  # a wrong argument is an error here, not later
        self._make = lambda: make(*args, **kwargs)
        self._opened = self._opening = None
        self._workers = Workers()
        self._owns_workers = True

    return init


def _opener(make: Callable[P, Memory]) -> Callable[P, Coroutine[Any, Any, AsyncMemory]]:
    @wraps(make, assigned=(), updated=())
    async def open(*args: P.args, **kwargs: P.kwargs) -> AsyncMemory:
        """Open a store for longer than a block: `close` it in the end."""
        memory: AsyncMemory = AsyncMemory(*args, **kwargs)
        await memory._open()
        return memory

    return open


def _writing(
    verb: Callable[Concatenate[Memory, P], R],
) -> Callable[Concatenate[AsyncMemory, P], Coroutine[Any, Any, R]]:
    @wraps(verb)
    async def call(self: AsyncMemory, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._write(lambda: verb(self._memory, *args, **kwargs))

    return call


def _reading(
    verb: Callable[Concatenate[Memory, P], R],
) -> Callable[Concatenate[AsyncMemory, P], Coroutine[Any, Any, R]]:
    @wraps(verb)
    async def call(self: AsyncMemory, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._read(lambda: _decoded(verb(self._memory, *args, **kwargs)))

    return call


def _in_thread(work: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    @wraps(work)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(work, *args, **kwargs)

    return call


def _stream(
    verb: Callable[Concatenate[Memory, P], Iterator[Chunk]],
) -> Callable[Concatenate[AsyncMemory, P], AsyncIterator[Chunk]]:
    @wraps(verb)
    async def call(self: AsyncMemory, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Chunk]:
        found = verb(self._memory, *args, **kwargs)
        while batch := await self._read(lambda: _decoded(tuple(islice(found, _BATCH)))):
            for chunk in batch:
                yield chunk

    return call


def _decoded(result: R) -> R:
    """Decode here, in the worker; damage is raised where a text is read."""
    several: Iterable[object] = result if isinstance(result, Recall | tuple) else (result,)
    for chunk in chain.from_iterable(
        one.chunks if isinstance(one, Source | Episode) else (one,) for one in several
    ):
        if isinstance(chunk, Chunk):
            with suppress(CorruptRecordError):
                _ = chunk.text, chunk.latents
    return result


class AsyncMemory:
    """`Memory` for asyncio, opened by ``async with``; see `agentmem.aio` for the few differences.

    ::

        async with AsyncMemory("notes") as mem:
            await mem.add("Booked the 9:40 to Lyon", user_id="ana")

    It takes the arguments of `Memory`. Nothing is opened before the block, and nothing blocks the
    event loop. Several blocks at once share one `Memory`, which the last to end closes.
    """

    _make: Callable[[], Memory]
    _opened: Memory | None
    _opening: Future[Memory] | None
    _waiting = 0  # for it to be opened
    _blocks = 0
    _workers: Workers
    _owns_workers: bool

    # By way of a name without a meaning of its own, or `object.__init__` decides its type.
    _init = _constructor(Memory)
    __init__ = _init
    open = staticmethod(_opener(Memory))
    add = _writing(Memory.add)
    recall = _reading(Memory.recall)
    get = _reading(Memory.get)
    get_source = _reading(Memory.get_source)
    scopes = _reading(Memory.scopes)
    episodes = _reading(Memory.episodes)
    count = _reading(Memory.count)
    list = _stream(Memory.list)
    update = _writing(Memory.update)
    supersede = _writing(Memory.supersede)
    history = _reading(Memory.history)
    conflicts = _reading(Memory.conflicts)
    forget = _writing(Memory.forget)
    gc = _writing(Memory.gc)
    dossier = _reading(Memory.dossier)
    audit = _reading(Memory.audit)
    verify = _reading(Memory.verify)
    repair = _writing(Memory.repair)
    backup = _reading(Memory.backup)
    change_key = _writing(Memory.change_key)
    purge = _writing(Memory.purge)
    increment = staticmethod(_in_thread(Memory.increment))
    complete = staticmethod(_in_thread(Memory.complete))
    migrate = staticmethod(_in_thread(Memory.migrate))
    export = _reading(Memory.export)
    load = _writing(Memory.load)
    stats = _reading(Memory.stats)
    prepare = _writing(Memory.prepare)
    regenerated = _reading(Memory.regenerated)
    reindex = _writing(Memory.reindex)

    async def __aenter__(self) -> Self:
        self._blocks += 1
        try:
            await self._open()
        except BaseException:
            self._blocks -= 1
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        self._blocks -= 1
        if not self._blocks:
            await self.close()

    async def _open(self) -> None:
        if self._workers.closed:
            raise StoreError(f"{self!r} is closed")
        if self._opened is not None:
            return
        opening = self._opening = self._opening or self._submitted(self._workers.write, self._make)
        self._waiting += 1
        try:
            opened = await asyncio.shield(asyncio.wrap_future(opening))
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            if not cancelled or (self._waiting == 1 and self._opened is None):
                self._close_workers()
            raise
        finally:
            self._waiting -= 1
        if self._workers.closed:
            raise StoreError(f"{self!r} was closed while it was being opened")
        self._opened = opened

    def __reduce__(self) -> tuple[Any, ...]:
        raise StoreError(
            "an AsyncMemory belongs to its process: send the location, and open it there"
        )

    def __repr__(self) -> str:
        return "AsyncMemory(not open)" if self._opened is None else f"Async{self._opened!r}"

    def scoped(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> AsyncMemory:
        """See `Memory.scoped`."""
        handle: AsyncMemory = object.__new__(AsyncMemory)
        handle._opened = self._memory.scoped(
            user_id=user_id, agent_id=agent_id, session_id=session_id
        )
        handle._workers, handle._owns_workers = self._workers, False
        return handle

    def session(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> AsyncSession:
        """See `Memory.session`."""
        session = self._memory.session(user_id=user_id, agent_id=agent_id, session_id=session_id)
        return AsyncSession(session, read=self._read, write=self._write)

    def as_tools(self, format: ToolFormat = "openai") -> AsyncTools:
        """See `Memory.as_tools`."""
        return AsyncTools(self._memory.as_tools(format), self._write)

    async def close(self) -> None:
        """See `Memory.close`; earlier calls are completed first."""
        if self._owns_workers and (closing := self._close_workers()) is not None:
            # Once requested, it completes even if the caller is cancelled.
            await asyncio.shield(asyncio.wrap_future(closing))

    def _close_workers(self) -> Future[None] | None:
        """Complete what was requested, and close what was opened; None if that was done before."""
        try:
            return self._workers.close(partial(_close, self._opening))
        except RuntimeError:
            return None

    @property
    def _memory(self) -> Memory:
        if self._opened is None:
            raise StoreError(
                "this AsyncMemory is not open: use `async with AsyncMemory(...) as mem:`"
            )
        return self._opened

    async def _write(self, work: Callable[[], R]) -> R:
        return await asyncio.wrap_future(self._submitted(self._workers.write, work))

    async def _read(self, work: Callable[[], R]) -> R:
        return await asyncio.wrap_future(self._submitted(self._workers.read, work))

    def _submitted(
        self, submit: Callable[[Callable[[], R]], Future[R]], work: Callable[[], R]
    ) -> Future[R]:
        try:
            return submit(work)
        except RuntimeError as error:
            raise StoreError(f"{self!r} is closed") from error


def _close(opening: Future[Memory] | None) -> None:
    """Close what was opened, if it was."""
    if opening is not None and not opening.cancelled() and opening.exception() is None:
        opening.result().close()
