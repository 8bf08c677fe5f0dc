"""The threads of one `agentmem.AsyncMemory`: one writes, in order, and some read beside it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

R = TypeVar("R")

# As many as help on few cores: what they compute in Python, they compute one after the other.
_READERS = 2


class Workers:
    """Threads for calls of one memory. A forked child, in which they do not exist, gets others.

    Attributes:
        closed: Whether they accept no more work.
    """

    def __init__(self) -> None:
        self._writer: ThreadPoolExecutor | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._process = 0
        self.closed = False

    def write(self, work: Callable[[], R]) -> Future[R]:
        """Have something done after everything that was submitted here before.

        Raises:
            RuntimeError: they are closed.
        """
        return self._threads()[0].submit(work)

    def read(self, work: Callable[[], R]) -> Future[R]:
        """Have something done beside whatever else is.

        Raises:
            RuntimeError: they are closed.
        """
        return self._threads()[1].submit(work)

    def close(self, last: Callable[[], R]) -> Future[R]:
        """Accept no more; what was submitted is completed, and then ``last`` is done.

        Raises:
            RuntimeError: they are closed already.
        """
        writer, readers = self._threads()
        self.closed = True

        def ending() -> R:
            readers.shutdown(wait=True)
            return last()

        closing = writer.submit(ending)
        writer.shutdown(wait=False)
        return closing

    def _threads(self) -> tuple[ThreadPoolExecutor, ThreadPoolExecutor]:
        if self.closed:
            raise RuntimeError("the threads are closed")
        if self._writer is None or self._readers is None or self._process != os.getpid():
            self._writer = ThreadPoolExecutor(1, thread_name_prefix="agentmem")
            self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="agentmem-reading")
            self._process = os.getpid()
        return self._writer, self._readers
