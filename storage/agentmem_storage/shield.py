"""Keeps signal handlers out of the store's work.

Python runs signal handlers in the main thread, between any two steps of whatever runs there, and a
handler may raise: `KeyboardInterrupt` on Ctrl-C, the time limit of a task queue, an alarm. No
``finally`` is safe from that, because the handler may run just before it, and a lock taken or a
transaction begun would stay open. So whatever the main thread asks of a store is done by another
thread, which no handler interrupts, while the main thread waits. If the wait is interrupted, the
work is told so: a transaction that is not committed yet is rolled back, and the exception is raised
once nothing is left open. In any other thread, work is done directly.
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
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_END: Any = object()


def shielded(work: Callable[P, R]) -> Callable[P, R]:
    """A function that no signal handler interrupts; see the module."""

    @wraps(work)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if threading.get_ident() != threading.main_thread().ident or sys.is_finalizing():
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
    """End the current work if the main thread was interrupted while waiting for it."""
    call: _Call[Any] | None = getattr(_current, "call", None)
    if call is not None and call.abandoned:
        raise AbandonedError


class AbandonedError(BaseException):
    """The main thread no longer waits; it raises its own exception, so nobody sees this one."""


class _Call(Generic[R]):
    """One piece of work, which the main thread waits for.

    Only locks are used, because acquiring one is a single step: the main thread may be interrupted
    between any two.
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
            self._done.acquire()
        except BaseException:
            self.abandoned = True
            if not self._claim.acquire(blocking=False):
                self._ended.acquire()
            raise
        if self._error is not None:
            raise self._error
        return self._result

    def run(self) -> None:
        """Do the work, unless the main thread stopped waiting before it began."""
        if not self._claim.acquire(blocking=False):
            return
        _current.call = self
        try:
            self._result = self._context.run(self._work)
        except BaseException as error:
            self._error = error
        finally:
            _current.call = None
            self._done.release()
            self._ended.release()


class _Worker:
    """The thread that works for the main thread; it starts with the first work of a process."""

    calls: SimpleQueue[_Call[Any]] = SimpleQueue()
    started = False

    @classmethod
    def submit(cls, call: _Call[Any]) -> None:
        if not cls.started:
            # Interrupted before the next line, a second thread will share the queue: no harm.
            _thread.start_new_thread(cls.serve, ())
            cls.started = True
        cls.calls.put(call)

    @classmethod
    def serve(cls) -> None:
        while True:
            call = cls.calls.get()
            call.run()
            del call  # with all it refers to, such as an open store

    @classmethod
    def forget(cls) -> None:
        """In a forked child, which has no thread but the one that forked."""
        cls.calls, cls.started = SimpleQueue(), False


_current = threading.local()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Worker.forget)
