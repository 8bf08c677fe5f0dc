"""Replaces the vector index of a store by an approximate one, once the store is large.

It is built in a thread of its own, from the vectors of the index that is searched meanwhile. What
changes while it is built, it learns from the change log, like an index that was read from a file.
"""

from __future__ import annotations

import logging
import threading
import weakref
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.forks import not_during_fork
from agentmem_storage.index import IndexKind, VectorIndex, build, is_large, is_outgrown
from agentmem_storage.index.base import locate
from agentmem_storage.readwrite import ReadWriteLock
from agentmem_storage.sql.logs.changes import Mark

# Searches of a process before it builds one: a command that asks once is done without.
BUILD_AFTER = 16

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Built:
    """An index, and the state of the store that it reflects."""

    index: VectorIndex
    mark: Mark


class Growing:
    """Decides when to build an index, and has it built.

    Args:
        kind: The backend that was asked for; only ``auto`` may be replaced.
        lock: Held by whoever changes the index that is searched.
    """

    def __init__(self, kind: IndexKind, lock: ReadWriteLock) -> None:
        self._kind = kind
        self._lock = lock
        self._mutex = threading.Lock()
        self._searches = 0
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._built: Built | None = None

    def large(self, count: int) -> bool:
        """Whether an index of so many vectors should be one for large stores."""
        return self._kind == "auto" and is_large(count)

    def outgrown(self, index: VectorIndex) -> bool:
        """Whether another index should take the place of this one."""
        return self._kind == "auto" and is_outgrown(index)

    def searched(self, index: VectorIndex, mark: Mark) -> None:
        """Note a search, and begin to build another index if it is time; the lock must be held.

        Args:
            index: What was searched.
            mark: The state that it reflects.
        """
        with self._mutex:
            self._searches += 1
            building = self._built is not None or (self._thread and self._thread.is_alive())
            if self._searches < BUILD_AFTER or building or not self.outgrown(index):
                return
            self._searches = 0
            self._stop = threading.Event()
            self._thread = threading.Thread(
                target=self._build,
                args=(index, mark, index.ids(), self._stop),
                name="agentmem-index",
                daemon=True,
            )
            self._thread.start()
            # Nothing may compute any more when the interpreter ends.
            weakref.finalize(self, _end, self._thread, self._stop)

    def ready(self, newest: Mark) -> bool:
        """Whether an index has been built, of no later state than a transaction sees."""
        built = self._built
        return built is not None and built.mark.seq <= newest.seq

    def take(self) -> Built:
        """The index that was built; once."""
        built, self._built = self._built, None
        assert built is not None
        return built

    def stop(self) -> None:
        """Give up what is being built."""
        if self._thread is not None:
            _end(self._thread, self._stop)
        self._built = None

    def _build(
        self, index: VectorIndex, mark: Mark, ids: NDArray[np.int64], stop: threading.Event
    ) -> None:
        def read(part: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
            # A child would inherit the lock as it is, without this thread to release it.
            with not_during_fork(), self._lock.reading():
                present = part[locate(index.ids(), part)[1]]
                return present, index.levels(present)

        try:
            built = build(ids, read, stop.is_set)
        except (MemoryError, RuntimeError) as error:
            _log.warning("an index for a large store was not built: %s", error)
            return
        if built is not None and not stop.is_set():
            self._built = Built(built, mark)
            _log.info("index with lists built from %d embeddings", len(built))


def _end(thread: threading.Thread, stop: threading.Event) -> None:
    stop.set()
    if thread is not threading.current_thread():
        thread.join()
