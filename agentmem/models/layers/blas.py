"""One thread for NumPy's products of matrices, whatever the program has set.

The BLAS library behind them would split even small matrices among its threads, which then wait for
each other; see `agentmem.models.layers.inference` for what that costs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController

_PATIENCE = 1.0


@contextmanager
def one_thread() -> Iterator[None]:
    """BLAS with one thread; afterwards it has as many as before. Also a decorator."""
    _threads.enter()
    try:
        yield
    finally:
        _threads.leave()


class _OneThread:
    """Sets and restores the number of threads, which is that of the whole process.

    A BLAS on top of OpenMP, which NumPy's wheels do not have, keeps one for each thread: there only
    the first thread to enter computes with one.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._before: list[tuple[Any, int]] = []

    def enter(self) -> None:
        lock = self._acquired()
        try:
            if self._inside == 0:
                found = ((one, one.num_threads) for one in self._libraries)
                several = [(one, number) for one, number in found if number != 1]
                # After an interruption they may have been left at one.
                self._before = several or self._before
                for library, _ in several:
                    _set(library, 1)
            self._inside += 1
        finally:
            lock.release()

    def leave(self) -> None:
        lock = self._acquired()
        try:
            self._inside = max(0, self._inside - 1)
            if self._inside == 0:
                for library, number in self._before:
                    _set(library, number)
        finally:
            lock.release()

    def _acquired(self) -> Lock:
        """The lock, held.

        An exception of a signal's handler may come just before a lock is released, which nobody
        would release then. It is held for microseconds, and only speed depends on it: after
        `_PATIENCE` seconds, another takes its place.
        """
        lock = self._lock
        if not lock.acquire(timeout=_PATIENCE):
            lock = Lock()
            lock.acquire()
            self._lock, self._inside = lock, 0
        return lock

    @cached_property
    def _libraries(self) -> tuple[Any, ...]:
        """The BLAS libraries of this process; NumPy has loaded its own."""
        return tuple(ThreadpoolController().select(user_api="blas").lib_controllers)


def _set(library: Any, number: int) -> None:
    """Set a library's number of threads, from any thread.

    threadpoolctl lets only the thread that was the first to set it do so, until that thread says
    that it is done. Here the lock decides whose turn it is.
    """
    done = getattr(library, "clear_controlling_thread", None)
    if done is not None:
        done(force=True)
    library.set_num_threads(number)
    if done is not None:
        done(force=True)


_threads = _OneThread()


def _forget_other_threads() -> None:
    """In a forked child, where the threads that were inside do not exist."""
    global _threads
    _threads = _OneThread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
