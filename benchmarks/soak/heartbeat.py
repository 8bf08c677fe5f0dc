"""How long an event loop is kept from running what is due.

``python -m benchmarks.soak.heartbeat CORE`` beats on one core, in a process that does nothing else,
until its input ends, and prints what it measured: what the machine does to any process at that
time. It prints an empty line as soon as it beats.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

EVERY_S = 0.005
# What nobody should notice.
ALLOWED_S = 0.020
# The oldest generation of the garbage collector, with which it looks at all objects.
_FULL = 2
# Most collections take less.
_NOTICEABLE_S = 0.001
# How late beats are is counted by steps of this, up to a second: unlike a list, counts take no
# memory, which is measured too.
_STEP_S = 5e-5
_STEPS = 20_000


class Late(NamedTuple):
    """A beat that was noticeably late.

    Attributes:
        due_s: When it was due, by `time.perf_counter`.
        late_s: By how much it came too late, in seconds.
        queued_s: What of it the thread waited for a core, which other threads and processes had,
            or one that collected garbage did, for which all others wait.
        collected_s: What of it the garbage collector took.
    """

    due_s: float
    late_s: float
    queued_s: float
    collected_s: float

    @property
    def had_a_core(self) -> bool:
        """Whether it would have been late without waiting for a core, too."""
        return self.late_s - self.queued_s > ALLOWED_S

    def beside(self, other: Late) -> bool:
        """Whether another one was late at the same time."""
        return self.due_s < other.due_s + other.late_s and other.due_s < self.due_s + self.late_s


class _Collection(NamedTuple):
    """A garbage collection: begin and end, and how long its thread waited for a core in it."""

    begin: float
    end: float
    queued_s: float

    def within(self, begin: float, end: float) -> _Collection:
        """The part of it in a span of time; what it waited for is spread evenly."""
        begin, end = max(self.begin, begin), max(self.begin, begin, min(self.end, end))
        return _Collection(begin, end, self.queued_s * (end - begin) / (self.end - self.begin))


class Heartbeat:
    """Beats in the running event loop, and notes how late each beat is.

    Attributes:
        beats: How many there were.
        over: Those that were more than `ALLOWED_S` late.
    """

    def __init__(self) -> None:
        self.beats = 0
        self.over: list[Late] = []
        self._thread = 0
        self._began = time.perf_counter()
        self._late, self._late_with_a_core = _Counts(), _Counts()
        self._longest_collection = 0.0
        self._longest_with_a_core = 0.0
        # Of every noticeable garbage collection since the last beat.
        self._collections: list[_Collection] = []
        self._collecting = _Collection(0.0, 0.0, 0.0)

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
        return {
            "beats": self.beats,
            "late_ms": self._late.percentiles(),
            "over": len(self.over),
            # Of those beats, how many would have been in time without waiting for a core, and
            # how many without the garbage collector.
            "over_for_want_of_a_core": sum(not one.had_a_core for one in self.over),
            "over_by_garbage_collection": sum(
                one.late_s - one.collected_s <= ALLOWED_S for one in self.over
            ),
            "late_but_for_cores_ms": self._late_with_a_core.percentiles(),
            "longest_collection_ms": self._longest_collection * 1e3,
            "longest_collection_but_for_cores_ms": self._longest_with_a_core * 1e3,
            # When, and by how much, those were late that had a core.
            "over_with_a_core": [
                {
                    "at_s": round(one.due_s - self._began, 2),
                    "ms": round(one.late_s * 1e3, 1),
                    "collected_ms": round(one.collected_s * 1e3, 1),
                }
                for one in self.over
                if one.had_a_core
            ],
        }

    async def _beat(self) -> None:
        self._thread = threading.get_native_id()
        waited = _waited_s()
        while True:
            due = time.perf_counter() + EVERY_S
            await asyncio.sleep(EVERY_S)
            late = max(0.0, time.perf_counter() - due)
            before, waited = waited, _waited_s()
            queued = waited - before
            spans = [one.within(due, due + late) for one in self._collections]
            queued += sum(one.queued_s for one in spans)
            self._late.add(late)
            self._late_with_a_core.add(max(0.0, late - queued))
            if late > ALLOWED_S:
                collected = sum(one.end - one.begin - one.queued_s for one in spans)
                self.over.append(Late(due, late, queued, collected))
            self._collections.clear()
            self.beats += 1

    def _note(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] < _FULL:  # takes no noticeable time
            return
        now, waited = time.perf_counter(), _waited_s()
        if phase == "start":
            self._collecting = _Collection(now, now, waited)
            return
        begin, _, before = self._collecting
        if (took := now - begin) >= _NOTICEABLE_S:
            loop = threading.get_native_id() == self._thread
            queued = 0.0 if loop else waited - before  # which the loop's own time has already
            self._collections.append(_Collection(begin, now, queued))
            self._longest_collection = max(self._longest_collection, took)
            self._longest_with_a_core = max(self._longest_with_a_core, took - (waited - before))


class _Counts:
    """How often which time was measured."""

    def __init__(self) -> None:
        self._counts = np.zeros(_STEPS, dtype=np.int64)
        self._max = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[min(int(seconds / _STEP_S), _STEPS - 1)] += 1
        self._max = max(self._max, seconds)

    def percentiles(self) -> dict[str, float]:
        """Some percentiles, to the step, and the maximum, in milliseconds."""
        sums = np.cumsum(self._counts)
        found = {
            f"p{one:g}": (np.searchsorted(sums, one / 100 * sums[-1]) + 1) * _STEP_S * 1e3
            for one in (50, 99, 99.9)
        }
        return {**{name: float(ms) for name, ms in found.items()}, "max": self._max * 1e3}


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
        while not heartbeat.beats:
            await asyncio.sleep(EVERY_S)
        sys.stdout.write("\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
    return {"summary": heartbeat.summary(), "over": heartbeat.over}


if __name__ == "__main__":
    os.sched_setaffinity(0, [int(sys.argv[1])])
    sys.stdout.write(json.dumps(asyncio.run(_until_input_ends())))
