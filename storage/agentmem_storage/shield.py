"""Keeps exceptions from outside out of the store's work.

Python runs signal handlers in the main thread, between any two steps of whatever runs there, and a
handler may raise: `KeyboardInterrupt` on Ctrl-C, the time limit of a task queue, an alarm. In any
other thread, time limits raise in the same way, by ``PyThreadState_SetAsyncExc``. No ``finally`` is
safe from that, because it may happen just before it, and a lock taken or a transaction begun would
stay open. So whatever is asked of a store is done by a thread of its own, which nobody knows and
interrupts, while the asking one waits. If the wait is interrupted, the work learns of it: a
transaction that is not committed yet is rolled back, and the exception is raised once nothing is
left open.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from functools import wraps
from queue import SimpleQueue
from typing import Any, ClassVar, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_END: Any = object()
_STEP_S = 0.05  # between two chances for an exception to be raised in a thread that waits


def shielded(work: Callable[P, R]) -> Callable[P, R]:
    """A function that nothing interrupts; see the module."""

    @wraps(work)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if getattr(_current, "call", None) is not None or sys.is_finalizing():
            return work(*args, **kwargs)
        return _Call(lambda: work(*args, **kwargs)).wait()

    return call


def shielded_steps(make: Callable[P, Iterator[R]]) -> Callable[P, Iterator[R]]:
    """A generator function each of whose steps is `shielded`."""

    @wraps(make)
    def steps(*args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        iterator = make(*args, **kwargs)
        step = shielded(lambda: next(iterator, _END))
        while (item := step()) is not _END:
            yield item

    return steps


def raise_if_abandoned() -> None:
    """End the current work if the thread that waits for it was interrupted."""
    call: _Call[Any] | None = getattr(_current, "call", None)
    if call is not None and call.abandoned:
        raise AbandonedError


class AbandonedError(BaseException):
    """Nobody waits any more; who did raises its own exception, so nobody sees this one."""


class _Call(Generic[R]):
    """One piece of work, which another thread waits for.

    Only locks are used, because acquiring one is a single step: the thread that waits may be
    interrupted between any two.
    """

    def __init__(self, work: Callable[[], R]) -> None:
        self.abandoned = False
        self._work = work
        self._context = copy_context()
        self._claim = threading.Lock()  # whoever acquires it decides whether the work is done
        self._done = threading.Lock()
        self._ended = threading.Lock()
        self._done.acquire()
        self._ended.acquire()
        self._result: R
        self._error: BaseException | None = None

    def wait(self) -> R:
        """Have the work done; its result or its exception."""
        try:
            _Worker.submit(self)
            # Only a signal ends the wait for a lock; what is thrown into a thread comes after it.
            while not self._done.acquire(timeout=_STEP_S):
                pass
        except BaseException:
            self.abandoned = True
            if not self._claim.acquire(blocking=False):
                self._ended.acquire()
            raise
        if self._error is not None:
            raise self._error
        return self._result

    def run(self, finish: Callable[[], None]) -> None:
        """Do the work, unless nobody waits for it any more.

        Args:
            finish: Called just before the thread that waits goes on.
        """
        if not self._claim.acquire(blocking=False):
            finish()
            return
        _current.call = self
        try:
            self._result = self._context.run(self._work)
        except BaseException as error:
            self._error = error
        finally:
            _current.call = None
            finish()
            self._done.release()
            self._ended.release()


class _Worker:
    """A thread that works for others, one at a time; there are as many as ever worked at once."""

    idle: ClassVar[list[_Worker]] = []

    def __init__(self) -> None:
        self._calls: SimpleQueue[_Call[Any]] = SimpleQueue()
        _thread.start_new_thread(self._serve, ())

    @classmethod
    def submit(cls, call: _Call[Any]) -> None:
        try:
            worker = cls.idle.pop()
        except IndexError:
            worker = cls()
        # Interrupted before the next line, the worker will be missed by nobody.
        worker._calls.put(call)

    def _serve(self) -> None:
        while True:
            call = self._calls.get()
            call.run(self._rest)
            del call  # with all it refers to, such as an open store

    def _rest(self) -> None:
        _Worker.idle.append(self)

    @classmethod
    def forget(cls) -> None:
        """In a forked child, which has no thread but the one that forked."""
        cls.idle = []


_current = threading.local()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Worker.forget)
