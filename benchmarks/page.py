"""Page benchmark: how long the service's page takes to show a large store, at first and again.

The store has LoCoMo's turns, each session of it a session, again and again for further users until
there are enough. A turn is encoded and verified once; for further users its rows are written by the
store alone, which takes minutes where encoding them all would take an hour. Nothing that the page
does depends on that.

The service is the command ``agentmem serve`` in a process of its own. Each view is asked for once,
in a process that has answered nothing before, and then again; a browser comes on top. CPU time is
that of the service: on a busy machine, the rest is waiting for a core.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import httpx
import typer

from agentmem.evaluation.metrics import latency_ms
from agentmem.evaluation.result import build_result, write_result
from agentmem.opening import open_store
from benchmarks.command import run
from benchmarks.copies import encoded, fill

_AT = re.compile(r"http://\S+")


@dataclass(frozen=True, slots=True)
class _Asked:
    """How long an answer took, how much of that the service computed, and its size in bytes."""

    seconds: float
    cpu_s: float
    size: int


def main(
    data: Annotated[Path, typer.Option(help="LoCoMo's file")],
    json: Annotated[Path, typer.Option(help="where the result goes")],
    memories: Annotated[int, typer.Option(min=100, help="in the store, about")] = 100_000,
    again: Annotated[int, typer.Option(min=1, help="requests of each view after the first")] = 20,
    work: Annotated[
        Path | None, typer.Option(help="folder that keeps the store, for another run")
    ] = None,
) -> None:
    """Measure, and write the result file."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (work or Path(scratch)) / "store"
        sizes = _filled(folder, data, memories)
        views = _views(sizes.pop("user"), sizes.pop("session"))
        load = os.getloadavg()[0]
        rows = []
        for name, path in views.items():
            # A process each, so that none finds what another has loaded.
            with _serving(folder) as (url, id), httpx.Client(base_url=url, timeout=600) as client:
                asked = [_asked(client, id, path) for _ in range(again + 1)]
            rows.append(
                {
                    "view": name,
                    "first_ms": asked[0].seconds * 1e3,
                    "first_cpu_ms": asked[0].cpu_s * 1e3,
                    "again_ms": latency_ms([one.seconds for one in asked[1:]]),
                    "again_cpu_ms": median(one.cpu_s for one in asked[1:]) * 1e3,
                    "bytes": asked[0].size,
                }
            )
    result = build_result(
        "page",
        config={"data": data.name, "memories": memories, "again": again},
        seed=0,
        seconds=time.perf_counter() - began,
        results={**sizes, "load": {"before": load, "after": os.getloadavg()[0]}, "views": rows},
        threads=1,
    )
    write_result(json, result)
    typer.echo(result.to_json())


def _filled(folder: Path, data: Path, memories: int) -> dict[str, Any]:
    """Fill a store, unless it is filled already; its sizes, one of its users, and a session."""
    model, store = open_store(folder, None)
    with store:
        if store.stats().chunks < memories:
            fill(store, encoded(data, model), memories)
        stats = store.stats()
        last = store.scopes()[-1].scope
    return {
        "memories": stats.chunks,
        "scopes": stats.scopes,
        "file_bytes": stats.file_bytes,
        "user": last.user_id,
        "session": last.session_id,
    }


def _views(user: str, session: str) -> dict[str, str]:
    """The path of each view: of the whole store, and of a scope."""
    one = f"user_id={user}"
    return {
        "overview": "/",
        "memories": "/memories",
        "memories of a user": f"/memories?{one}",
        "memories of a session": f"/memories?{one}&session_id={session}",
        "one memory": "/memories/1",
        "timeline": "/timeline",
        "timeline of a user": f"/timeline?{one}",
        "map": "/map",
        "map of a user, by episode": f"/map?{one}&color=episode",
        "search": "/search?q=what+did+she+paint+for+her+friend",
        "search of a user": f"/search?q=what+did+she+paint+for+her+friend&{one}",
    }


@contextmanager
def _serving(folder: Path) -> Iterator[tuple[str, int]]:
    """URL and id of the service, a process that has loaded its models and answered nothing."""
    command = [sys.executable, "-m", "agentmem", "serve", "--store", str(folder), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := _AT.search(line):
                yield found[0], process.pid
                return
        raise RuntimeError(f"{command} ended with {process.wait()} and no address")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


def _asked(client: httpx.Client, process: int, path: str) -> _Asked:
    before, began = _cpu_s(process), time.perf_counter()
    answer = client.get(path)
    seconds = time.perf_counter() - began
    answer.raise_for_status()
    return _Asked(seconds, _cpu_s(process) - before, len(answer.content))


def _cpu_s(process: int) -> float:
    """CPU time of all threads of a process, in seconds."""
    threads = Path(f"/proc/{process}/task").iterdir()
    return sum(int((one / "schedstat").read_text("ascii").split()[0]) for one in threads) / 1e9


if __name__ == "__main__":
    run(main)
