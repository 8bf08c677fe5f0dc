"""How the frozen networks compute: in float32 and with one thread, whatever the caller has set.

torch splits even the smallest of their matrices among its threads, which then wait for each other
by spinning. On a machine that is busy with something else, or in a container with a share of its
cores, each waits for one that does not run: an `add` takes twenty times as long. One thread is as
fast for a message, and long lists are encoded by several threads that never wait for each other
(see `agentmem.ingest.threads`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch


@contextmanager
def full_precision() -> Iterator[None]:
    """Inference in float32, even inside the caller's own mixed-precision context."""
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        yield


@contextmanager
def inference() -> Iterator[None]:
    """`full_precision` with one thread; afterwards torch has as many as before."""
    own = _threads.enter()
    try:
        with full_precision():
            yield
    finally:
        _threads.leave(own)


class _OneThread:
    """Sets and restores torch's number of threads, for several threads at once.

    Every thread has a number of its own, but one that is new to torch takes the number that was set
    last, by whichever thread. That may be this class's own 1, so the program's number is what was
    found when nobody was inside.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._host = 1

    def enter(self) -> int:
        with self._lock:
            own = torch.get_num_threads()
            if self._inside == 0:
                self._host = own
            self._inside += 1
            torch.set_num_threads(1)
        return own

    def leave(self, own: int) -> None:
        with self._lock:
            self._inside -= 1
            torch.set_num_threads(self._host if own == 1 else own)


_threads = _OneThread()


def _forget_other_threads() -> None:
    """In a forked child, where the threads that were inside do not exist."""
    global _threads
    _threads = _OneThread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
