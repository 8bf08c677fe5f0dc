"""The threads that work with the store, so that the event loop never does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from agentmem.errors import ServiceError

R = TypeVar("R")


class Workers:
    """A bounded number of threads, and a bounded number of calls that wait for one.

    Attributes:
        pending: How many calls run or wait.
    """

    def __init__(self, threads: int, queue: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="agentmem-service")
        self._most = threads + queue
        self.pending = 0

    async def run(self, work: Callable[[], R]) -> R:
        """Have a thread do something.

        If the caller is cancelled, work that has not begun is not done; what has begun is.

        Raises:
            ServiceError: too many calls wait already.
        """
        if self.pending >= self._most:
            raise ServiceError(
                f"{self.pending} requests are waiting already: ask again in a second",
                status=503,
                code="overloaded",
            )
        loop = asyncio.get_running_loop()

        def done(_: Future[R]) -> None:
            # A thread calls this; only the event loop counts. It may have ended by now.
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._done)

        self.pending += 1
        future = self._executor.submit(work)
        future.add_done_callback(done)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Wait for what has begun; the rest is not done."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _done(self) -> None:
        self.pending -= 1
