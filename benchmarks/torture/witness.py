"""Another process that has a store open while one is killed that works on it."""

from __future__ import annotations

import os
import random
import signal
import traceback
from pathlib import Path

from agentmem import Memory
from agentmem.models.bundle.load import ModelBundle
from benchmarks.torture.work import opened

# What it does afterwards; it is the last to close the store, or dies too.
ENDS = ("close", "read", "purge", "die")


class Witness:
    """A process that opens a store, waits, and ends in one way or another.

    Args:
        place: The store.
        model: The bundle that it has.
        key: Its key, if it is encrypted.
        chance: Decides how it ends.
    """

    def __init__(
        self, place: Path, model: ModelBundle, key: bytes | None, chance: random.Random
    ) -> None:
        self._end = chance.choice(ENDS)
        ready, self._ready = os.pipe()
        self._over, over = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            status = 1
            try:
                with opened(place, model, key) as memory:
                    memory.count()
                    os.write(self._ready, b".")
                    os.read(self._over, 1)
                    self._finish(memory)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(self._ready)
        os.close(self._over)
        self._over = over
        os.read(ready, 1)
        os.close(ready)

    def end(self) -> bool:
        """Have it end; whether it did without an error."""
        os.write(self._over, b".")
        os.close(self._over)
        _, status = os.waitpid(self._child, 0)
        return status == 0 or (self._end == "die" and os.WIFSIGNALED(status))

    def _finish(self, memory: Memory) -> None:
        if self._end == "read":
            memory.count()
        elif self._end == "purge":
            memory.purge()
        elif self._end == "die":
            os.kill(os.getpid(), signal.SIGKILL)
