"""Measures one store, in a process of its own: ``python -m benchmarks.vectorstores.worker``.

Adding and searching are two processes, so that what the second one holds is what searches need.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from agentmem.evaluation.metrics import latency_ms
from benchmarks.vectorstores.exact import Asked, shares_found
from benchmarks.vectorstores.rows import Rows
from benchmarks.vectorstores.system import VectorStore, load_system

T = TypeVar("T")


def add(job: dict[str, Any]) -> dict[str, Any]:
    """Add rows until all are there, or the time is up.

    Args:
        job: ``rows``, ``folder``, ``system``, ``options``, ``limit_s`` (or None).

    Returns:
        How many there are, and what that took, by the clock and in CPU time of the process.
    """
    rows, folder = Rows(Path(job["rows"])), Path(job["folder"])
    kind: Any = load_system(job["system"])
    held, taken = 0, (0.0, 0.0)
    with closing(kind(folder, rows, **job["options"])) as store:
        for batch in rows.batches():
            _, took = _timed(lambda: store.add(batch))  # noqa: B023
            taken = taken[0] + took[0], taken[1] + took[1]
            held += len(batch.vectors)
            if job["limit_s"] is not None and taken[0] > job["limit_s"]:
                break
        _, finished = _timed(store.finish)
    return {
        "memories": held,
        "add_s": {"wall": taken[0], "cpu": taken[1]},
        "finish_s": {"wall": finished[0], "cpu": finished[1]},
        "disk_bytes": sum(one.stat().st_size for one in folder.rglob("*") if one.is_file()),
        "peak_mb": _status("VmHWM"),
        "versions": {name: version(name) for name in kind.packages},
    }


def search(job: dict[str, Any]) -> dict[str, Any]:
    """Open what `add` has filled, and search it.

    Args:
        job: ``rows``, ``folder``, ``system``, ``options``, ``memories``, ``k``, ``number``.

    Returns:
        What opening it and each kind of search take, what the process holds then, and the share of
        the exact results that is found.
    """
    rows, folder = Rows(Path(job["rows"])), Path(job["folder"])
    kinds = _searches(rows, job["memories"], job["number"])
    before = _status("VmRSS")
    kind: Any = load_system(job["system"])
    make: Callable[[], VectorStore] = lambda: kind(folder, rows, **job["options"])  # noqa: E731
    store, opened = _timed(make)
    found: dict[str, list[Any]] = {}
    measured: dict[str, Any] = {"search_ms": {}, "search_cpu_ms": {}, "recall": {}}
    with closing(store):

        def ask(one: Asked) -> Sequence[int]:
            return store.search(one.vector, job["k"], user=one.user, number=one.number)

        _, first = _timed(lambda: ask(kinds["all"][0]))
        for name, searches in kinds.items():
            ask(searches[-1])
            results = [_timed(lambda: ask(one)) for one in searches]  # noqa: B023
            found[name] = [ids for ids, _ in results]
            measured["search_ms"][name] = latency_ms([wall for _, (wall, _) in results])
            measured["search_cpu_ms"][name] = latency_ms([cpu for _, (_, cpu) in results])
        measured["resident_mb"] = _status("VmRSS") - before
    for name, searches in kinds.items():
        shares = shares_found(rows, job["memories"], searches, found[name], job["k"])
        measured["recall"][name] = float(np.mean(shares))
    measured["open_s"] = {"wall": opened[0] + first[0], "cpu": opened[1] + first[1]}
    return measured


def _searches(rows: Rows, held: int, number: int) -> dict[str, list[Asked]]:
    users = [rows.user(first) for first, last in rows.users() if last <= held]
    chosen = users[:: max(1, len(users) // len(rows.queries))]
    return {
        "all": [Asked(query) for query in rows.queries],
        "user": [
            Asked(query, user=chosen[place % len(chosen)])
            for place, query in enumerate(rows.queries)
        ],
        "number": [Asked(query, number=number) for query in rows.queries],
    }


def _timed(work: Callable[[], T]) -> tuple[T, tuple[float, float]]:
    began = time.perf_counter(), time.process_time()
    made = work()
    return made, (time.perf_counter() - began[0], time.process_time() - began[1])


def _status(field: str) -> float:
    """A figure of /proc/self/status, in MB."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"{os.uname().sysname} does not say {field}")


def main(job: str, measured: str) -> None:
    """Read the job, and write the measurements."""
    request = json.loads(Path(job).read_text(encoding="utf-8"))
    work = {"add": add, "search": search}[request["phase"]]
    Path(measured).write_text(json.dumps(work(request)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
