"""How long an event loop is kept from running what is due.

``python -m benchmarks.soak.heartbeat`` beats in a process that does nothing else, until its input
ends, and prints what it measured: what the machine does to any process at that time. It prints an
empty line as soon as it beats.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
import time
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

EVERY_S = 0.005
# What nobody should notice.
ALLOWED_S = 0.020
# Of the many garbage collections, most take far less.
_NOTICEABLE_S = 0.001


class Heartbeat:
    """Beats in the running event loop, and notes how late each beat is.

    Attributes:
        late_s: By how much each beat came too late, in seconds.
        queued_s: What of it the thread waited for a core, which other threads and processes had.
        collections: Beginning and end of every garbage collection that was noticeable, in any
            thread.
    """

    def __init__(self) -> None:
        # Arrays, because the memory of the process is measured too.
        self.late_s = array("d")
        self.queued_s = array("d")
        self.collections: list[tuple[float, float]] = []
        self._due_s = array("d")
        self._collecting = 0.0

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Beat as long as the block runs."""
        gc.callbacks.append(self._note)
        task = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            gc.callbacks.remove(self._note)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def summary(self) -> dict[str, Any]:
        """Figures of all beats, in milliseconds."""
        late, waited = np.array(self.late_s), np.array(self.queued_s)
        over = late > ALLOWED_S
        collected = np.zeros(len(late))
        for beat in np.flatnonzero(over):
            due, came = self._due_s[beat], self._due_s[beat] + late[beat]
            collected[beat] = sum(
                max(0.0, min(end, came) - max(begin, due)) for begin, end in self.collections
            )
        pauses = [end - begin for begin, end in self.collections]
        return {
            "beats": len(late),
            "late_ms": _percentiles(late),
            "over": int(over.sum()),
            # Of those beats, how many would have been in time without waiting for a core, and
            # how many without the garbage collector.
            "over_for_want_of_a_core": int((over & (late - waited <= ALLOWED_S)).sum()),
            "over_by_garbage_collection": int((over & (late - collected <= ALLOWED_S)).sum()),
            "late_but_for_cores_ms": _percentiles(np.maximum(late - waited, 0)),
            "longest_collection_ms": max(pauses, default=0.0) * 1e3,
            # When, and by how much, those were late that had a core.
            "over_with_a_core": [
                {
                    "at_s": round(self._due_s[beat] - self._due_s[0], 2),
                    "ms": round(late[beat] * 1e3, 1),
                    "collected_ms": round(collected[beat] * 1e3, 1),
                }
                for beat in np.flatnonzero(late - waited > ALLOWED_S)
            ],
        }

    async def _beat(self) -> None:
        waited = _waited_s()
        while True:
            due = time.perf_counter() + EVERY_S
            await asyncio.sleep(EVERY_S)
            late = time.perf_counter() - due
            before, waited = waited, _waited_s()
            self.late_s.append(max(late, 0.0))
            self._due_s.append(due)
            self.queued_s.append(waited - before)

    def _note(self, phase: str, _: dict[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._collecting = now
        elif now - self._collecting >= _NOTICEABLE_S:
            self.collections.append((self._collecting, now))


def _percentiles(seconds: Any) -> dict[str, float]:
    p50, p99, p999 = np.percentile(seconds * 1e3, (50, 99, 99.9)).tolist()
    return {"p50": p50, "p99": p99, "p99.9": p999, "max": float(seconds.max() * 1e3)}


def _waited_s() -> float:
    """How long this thread has been ready to run without a core so far; 0 where it is not known."""
    try:
        stat = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text("ascii")
        return int(stat.split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


async def _until_input_ends() -> dict[str, Any]:
    heartbeat = Heartbeat()
    async with heartbeat.beating():
        while not heartbeat.late_s:
            await asyncio.sleep(EVERY_S)
        sys.stdout.write("\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
    return heartbeat.summary()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(_until_input_ends())))
