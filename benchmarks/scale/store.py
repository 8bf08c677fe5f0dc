"""A whole store at one size: what is asked of it, and what it takes."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from agentmem import Memory
from agentmem.evaluation.metrics import latency_ms
from agentmem.opening import open_store
from benchmarks.scale.resident import resident_mb

# One session of some twenty-five, of every user.
_FILTER = {"number": 3}
_SINCE = datetime(2023, 10, 1, tzinfo=UTC)


def measure_store(
    folder: Path, questions: Sequence[str], user: str, forgotten: int
) -> dict[str, Any]:
    """Times are CPU times of the whole process; for a process of its own.

    Args:
        folder: Of the store; some of its memories are forgotten.
        questions: What is asked.
        user: One of its users.
        forgotten: How many are forgotten one by one.
    """
    began = time.perf_counter(), time.process_time()
    # What a process takes before it opens a store is that of its models.
    with Memory(":memory:", preload=True) as empty:
        empty.recall(questions[0])
    ready, resident = (time.perf_counter(), time.process_time()), resident_mb()
    with Memory(folder) as memory:
        memory.recall(questions[0])
        opened = time.process_time() - ready[1], time.perf_counter() - ready[0]
        found: dict[str, Any] = {
            "models_s": ready[1] - began[1],
            "open_s": opened[0],
            "open_wall_s": opened[1],
            "resident_mb": {"models": resident, "store": resident_mb() - resident},
            **_sizes(memory, folder),
        }
        kinds: dict[str, Callable[[str], object]] = {
            "all": memory.recall,
            "user": lambda one: memory.recall(one, user_id=user),
            "filter": lambda one: memory.recall(one, where=_FILTER),
            "filter of a user": lambda one: memory.recall(one, user_id=user, where=_FILTER),
            "since": lambda one: memory.recall(one, since=_SINCE),
        }
        found["recall_ms"] = {
            kind: latency_ms([_cpu_s(lambda: ask(one)) for one in questions])  # noqa: B023
            for kind, ask in kinds.items()
        }
        found["list_ms"] = 1e3 * median(_cpu_s(lambda: tuple(memory.list(limit=20))) for _ in "abc")
        found["count_ms"] = 1e3 * median(_cpu_s(lambda: memory.count(where=_FILTER)) for _ in "abc")
        chosen = [memory.recall(one, user_id=user)[0].id for one in questions]
        ids = list(dict.fromkeys(chosen))[: 2 * forgotten]
        found["forget_now_ms"] = _each(lambda id: memory.forget([id]), ids[:forgotten])
    found["iterate_us"] = _iterated(folder)
    with Memory(folder, purge="later") as memory:
        memory.recall(questions[0])
        found["forget_later_ms"] = _each(lambda id: memory.forget([id]), ids[forgotten:])
        found["purge_ms"] = 1e3 * _cpu_s(memory.purge)
    return found


def _sizes(memory: Memory, folder: Path) -> dict[str, Any]:
    stats = memory.stats()
    cache = sum(one.stat().st_size for one in (folder / "index").iterdir())
    return {
        "memories": stats.memories,
        "bytes_per_memory": {
            "database": (folder / "memory.db").stat().st_size / stats.memories,
            "index": cache / stats.memories,
        },
    }


def _iterated(folder: Path) -> float:
    """What it takes to go through all rows of a store, by memory, in microseconds."""
    _, store = open_store(folder, None)
    with store:
        count = 0
        began = time.process_time()
        for rows in store.iterate():
            count += len(rows)
        return 1e6 * (time.process_time() - began) / count


def _each(work: Callable[[int], object], ids: Iterable[int]) -> float:
    return 1e3 * median(_cpu_s(lambda: work(id)) for id in ids)  # noqa: B023


def _cpu_s(work: Callable[[], object]) -> float:
    """CPU time of this process, and of those that it starts."""
    began = _used_s()
    work()
    return _used_s() - began


def _used_s() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    started = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + started.ru_utime + started.ru_stime
