"""`AsyncMemory`: the methods of `Memory` for asyncio, run by one worker thread.

::

    async with await AsyncMemory.open("notes") as mem:
        await mem.add("Booked the 9:40 to Lyon", user_id="ana")
        hits = await mem.recall("when is my train?", user_id="ana")
        async for chunk in mem.list(user_id="ana"):
            print(chunk.text)

Arguments, results and errors are those of `Memory`. The event loop never waits for a model or a
disk: returned hits have already been decoded by the worker. Only ``pack(policy="auto")`` reads the
store: ``await asyncio.to_thread(hits.pack, ...)``. Calls run one at a time, in the order they were
made. A call that is cancelled before it starts does not run; one that has started runs to
completion. ``on_progress`` is called in the worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import wraps
from itertools import islice
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from agentmem.context.hits import Chunk
from agentmem.context.recall import Recall
from agentmem.errors import CorruptRecordError, StoreError
from agentmem.memory import Memory
from agentmem.scopes import ReadId
from agentmem_storage.records import UNSET

P = ParamSpec("P")
R = TypeVar("R")

_BATCH = 64  # chunks that `list` reads at a time


def _opener(make: Callable[P, Memory]) -> Callable[P, Coroutine[Any, Any, AsyncMemory]]:
    @wraps(make, assigned=(), updated=())
    async def open(*args: P.args, **kwargs: P.kwargs) -> AsyncMemory:
        """Open a store, creating it if necessary; see `Memory`."""
        opening = asyncio.ensure_future(asyncio.to_thread(make, *args, **kwargs))
        try:
            return AsyncMemory(await asyncio.shield(opening))
        except asyncio.CancelledError:
            opening.add_done_callback(_abandon)
            raise

    return open


def _abandon(opening: asyncio.Future[Memory]) -> None:
    """Close a memory whose opening was cancelled."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _in_worker(
    verb: Callable[Concatenate[Memory, P], R],
) -> Callable[Concatenate[AsyncMemory, P], Coroutine[Any, Any, R]]:
    @wraps(verb)
    async def call(self: AsyncMemory, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._run(lambda: _decoded(verb(self._memory, *args, **kwargs)))

    return call


def _stream(
    verb: Callable[Concatenate[Memory, P], Iterator[Chunk]],
) -> Callable[Concatenate[AsyncMemory, P], AsyncIterator[Chunk]]:
    @wraps(verb)
    async def call(self: AsyncMemory, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Chunk]:
        found = verb(self._memory, *args, **kwargs)
        while batch := await self._run(lambda: _decoded(tuple(islice(found, _BATCH)))):
            for chunk in batch:
                yield chunk

    return call


def _decoded(result: R) -> R:
    """Decode here, in the worker; damage is raised where a text is read."""
    for chunk in result if isinstance(result, Recall | tuple) else (result,):
        if isinstance(chunk, Chunk):
            with suppress(CorruptRecordError):
                _ = chunk.text, chunk.latents
    return result


class AsyncMemory:
    """`Memory` for asyncio; see `agentmem.aio` for the few differences."""

    def __init__(self, memory: Memory) -> None:
        """Wrap an open memory; `open` opens one without blocking the event loop."""
        self._memory = memory
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="agentmem")
        self._owns_worker = True

    open = staticmethod(_opener(Memory))
    add = _in_worker(Memory.add)
    recall = _in_worker(Memory.recall)
    get = _in_worker(Memory.get)
    list = _stream(Memory.list)
    update = _in_worker(Memory.update)
    forget = _in_worker(Memory.forget)
    verify = _in_worker(Memory.verify)
    stats = _in_worker(Memory.stats)
    regenerated = _in_worker(Memory.regenerated)
    reindex = _in_worker(Memory.reindex)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"Async{self._memory!r}"

    def scoped(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> AsyncMemory:
        """See `Memory.scoped`."""
        handle = object.__new__(AsyncMemory)
        handle._memory = self._memory.scoped(
            user_id=user_id, agent_id=agent_id, session_id=session_id
        )
        handle._worker, handle._owns_worker = self._worker, False
        return handle

    async def close(self) -> None:
        """See `Memory.close`; earlier calls are completed first."""
        if self._owns_worker:
            with suppress(RuntimeError):  # closed already
                closing = self._worker.submit(self._memory.close)
                self._worker.shutdown(wait=False)
                # Once requested, it completes even if the caller is cancelled.
                await asyncio.shield(asyncio.wrap_future(closing))

    async def _run(self, work: Callable[[], R]) -> R:
        loop = asyncio.get_running_loop()
        try:
            future = loop.run_in_executor(self._worker, work)
        except RuntimeError as error:
            raise StoreError(f"{self!r} is closed") from error
        return await future
