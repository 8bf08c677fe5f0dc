"""Stores and `os.fork`: nothing of SQLite may be shared between parent and child.

A child inherits SQLite's own record of which file locks the process holds, but not the locks, so a
connection open across a fork can lose data even if the child never touches it. Therefore a fork
waits until no transaction of this process is running and closes all connections; parent and child
open their own when they need them.

Nor does a fork divide the import of a module of ours: a child would wait for ever for the thread
that imports it, which it does not have.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakSet

_PATIENCE_S = 30.0
_PAUSE_S = 0.005
_OURS = "agentmem"

_log = logging.getLogger(__name__)


class Connected(Protocol):
    """What has connections to a database."""

    def before_fork(self) -> None:
        """Close all connections."""

    def after_fork(self, *, intact: bool) -> None:
        """In the child: replace locks, which threads that no longer exist may hold.

        Args:
            intact: Whether all connections had been closed.
        """


class _Gate:
    """Counts the transactions of this process, and lets no new one begin during a fork.

    A thread that is inside may enter again: the fork waits for it, and it must not wait for that.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside: Counter[int] = Counter()  # by thread
        self._closed = False

    @contextmanager
    def entered(self) -> Iterator[None]:
        thread = threading.get_ident()
        with self._condition:
            self._condition.wait_for(lambda: not self._closed or self._inside[thread])
            self._inside[thread] += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= Counter({thread: 1})  # which leaves out what is zero
                self._condition.notify_all()

    def close(self) -> bool:
        """Wait until nobody is inside; whether that was so in time."""
        with self._condition:
            self._closed = True
            return self._condition.wait_for(lambda: not self._inside, _PATIENCE_S)

    def open(self) -> None:
        with self._condition:
            self._closed = False
            self._condition.notify_all()


class _Forks:
    gate = _Gate()
    connected: WeakSet[Connected] = WeakSet()
    intact = True

    @classmethod
    def before(cls) -> None:
        _wait_for_imports()
        cls.intact = cls.gate.close()
        if not cls.intact:
            _log.warning("a fork did not wait for a transaction of more than %s s", _PATIENCE_S)
        for one in list(cls.connected):
            one.before_fork()

    @classmethod
    def in_parent(cls) -> None:
        cls.gate.open()

    @classmethod
    def in_child(cls) -> None:
        cls.gate = _Gate()
        for one in list(cls.connected):
            one.after_fork(intact=cls.intact)


def _wait_for_imports() -> None:
    """Wait until no thread is importing a module of ours."""
    last = time.monotonic() + _PATIENCE_S
    while time.monotonic() < last and any(
        getattr(getattr(module, "__spec__", None), "_initializing", False)
        for name, module in list(sys.modules.items())
        if name.startswith(_OURS)
    ):
        time.sleep(_PAUSE_S)


def follow(connected: Connected) -> None:
    """Tell an object of every fork, as long as it exists."""
    _Forks.connected.add(connected)


@contextmanager
def not_during_fork() -> Iterator[None]:
    """A block that no fork of this process divides: it waits for the block to end."""
    with _Forks.gate.entered():
        yield


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_Forks.before,
        after_in_parent=_Forks.in_parent,
        after_in_child=_Forks.in_child,
    )
