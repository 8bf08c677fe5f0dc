"""Threads: those of one `agentmem.AsyncMemory`, and one for what a caller need not wait for."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import NamedTuple, TypeVar

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


class Task(NamedTuple):
    """What was handed over to `Later`.

    Attributes:
        future: Of its end.
        process: The process that was to do it.
    """

    future: Future[object]
    process: int

    @property
    def done(self) -> bool:
        """Whether it is done, or was not to be done in this process."""
        return self.process != os.getpid() or self.future.done()

    def wait(self) -> None:
        """Wait until it is done."""
        if not self.done:
            self.future.exception()


class Later:
    """A thread that does, in order, what its callers do not wait for.

    What was handed over is done even if the interpreter exits meanwhile. A forked child has none of
    it to do.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._thread: ThreadPoolExecutor | None = None
        self._process = os.getpid()

    def run(self, work: Callable[[], object]) -> Task:
        """Have something done; at once, if the interpreter is exiting."""
        if self._process != os.getpid():
            self._lock, self._thread, self._process = Lock(), None, os.getpid()
        with self._lock:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="agentmem-later")
            try:
                return Task(self._thread.submit(work), self._process)
            except RuntimeError:
                pass
        done: Future[object] = Future()
        done.set_result(work())
        return Task(done, self._process)

    def finish(self) -> None:
        """Wait until all of it is done."""
        if self._process != os.getpid():
            return
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=True)
