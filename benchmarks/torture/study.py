"""The study: kills, power cuts, a server and a crowd, all at once, each on stores of its own."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from agentmem.evaluation.result import EvalResult, build_result
from benchmarks.torture.book import Tally
from benchmarks.torture.bundles import two_bundles
from benchmarks.torture.crowd import PROCESSES, THREADS, crowd
from benchmarks.torture.kills import kill_processes
from benchmarks.torture.parallel import in_forks
from benchmarks.torture.power import cut_power
from benchmarks.torture.servers import kill_servers
from benchmarks.torture.work import ENCRYPTED, KINDS

Progress = Callable[[str, int, int], object]


def torture(
    *,
    kills: int,
    cuts: int,
    servers: int,
    operations: int,
    seed: int,
    minutes: float = math.inf,
    folder: Path | None = None,
    on_progress: Progress = lambda name, done, total: None,
) -> EvalResult:
    """Torture stores.

    Args:
        kills: How many processes are killed.
        cuts: How often the power is cut.
        servers: How often a server dies, or a process that works on its store.
        operations: How many calls the crowd makes.
        seed: Of all choices but those of time.
        minutes: After so long, no more is begun, and what was done counts.
        folder: For the stores; by default one for temporary files. It should be on a disk.
        on_progress: Called with the name of the part, the number done and the total; in the process
            of that part.
    """
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as name:
        scratch = Path(name)
        models = two_bundles(scratch)

        until = time.monotonic() + 60 * minutes
        common = {"models": models, "scratch": scratch, "until": until}

        def part(
            name: str, run: Callable[..., Tally], count: int, seed: int = seed
        ) -> Callable[[], Tally]:
            report = partial(on_progress, name)
            return partial(run, count, seed=seed, **common, on_progress=report)

        # In two halves, because one process dies after the other, and that takes longest.
        killed, others, cut, served, crowded = in_forks(
            [
                part("kills", kill_processes, kills - kills // 2, 2 * seed),
                part("other kills", kill_processes, kills // 2, 2 * seed + 1),
                part("power", cut_power, cuts),
                part("servers", kill_servers, servers),
                part("crowd", crowd, operations),
            ]
        )
        killed.add(others)
    return build_result(
        "torture",
        config={
            "kills": kills,
            "cuts": cuts,
            "servers": servers,
            "operations": operations,
            "minutes": None if minutes == math.inf else minutes,
            "kinds": list(KINDS),
            "encrypted": ENCRYPTED,
        },
        seed=seed,
        seconds=time.perf_counter() - began,
        results={
            "kills": asdict(killed),
            "power": asdict(cut),
            "servers": asdict(served),
            "crowd": {"processes": PROCESSES, "threads": THREADS, **asdict(crowded)},
        },
        threads=1,
    )
