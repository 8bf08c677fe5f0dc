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
        with self._lock:
            if self._inside == 0:
                found = ((one, one.num_threads) for one in self._libraries)
                self._before = [(one, number) for one, number in found if number != 1]
                for library, _ in self._before:
                    _set(library, 1)
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                for library, number in self._before:
                    _set(library, number)

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
