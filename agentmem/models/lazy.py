"""Values that are made when they are first needed."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from agentmem_storage.forks import not_during_fork

T = TypeVar("T")


class Lazy(Generic[T]):
    """A value that is made at the first call, once, whichever threads ask for it.

    If making it fails, the error is the caller's, and the next call tries again. A fork waits until
    it is made: a child would wait for ever for a thread that it does not have.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = Lock()
        self._made: tuple[T] | None = None

    def __call__(self) -> T:
        """The value."""
        if self._made is None:
            with not_during_fork(), self._lock:
                if self._made is None:
                    self._made = (self._make(),)
        return self._made[0]
