"""``python -m benchmarks.torture``: kill, cut the power and crowd, and count what was lost."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from agentmem.evaluation.result import write_result
from agentmem_cli.commands.evaluate import ResultOption, SeedOption
from benchmarks.command import run
from benchmarks.torture.book import FAULTS
from benchmarks.torture.study import torture

_SHOWN = ("rounds", "encrypted", "calls", "acknowledged", "found", *FAULTS)


def main(
    json: ResultOption = None,
    kills: Annotated[int, typer.Option(min=0, help="Processes that are killed.")] = 2_000,
    cuts: Annotated[int, typer.Option(min=0, help="Power cuts.")] = 500,
    servers: Annotated[
        int, typer.Option(min=0, help="Deaths of a PostgreSQL server, or of what works on it.")
    ] = 200,
    operations: Annotated[
        int, typer.Option(min=0, help="Calls of threads and processes at once.")
    ] = 100_000,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Begin no more then, and count what was done.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="For the stores, on a real disk."),
    ] = None,
    seed: SeedOption = 0,
) -> None:
    """Torture stores: nothing acknowledged may be lost, nothing forgotten left behind.

    It exits with 1 if a count that must be 0 is not. The models are tiny ones; what is tested is
    the store.
    """
    tenths: dict[str, int] = {}

    def progress(part: str, done: int, total: int) -> None:
        if (tenth := done * 10 // total) > tenths.get(part, 0):
            tenths[part] = tenth
            typer.echo(f"{part}: {done:,} of {total:,}", err=True)

    result = torture(
        kills=kills,
        cuts=cuts,
        servers=servers,
        operations=operations,
        seed=seed,
        minutes=math.inf if minutes is None else minutes,
        folder=folder,
        on_progress=progress,
    )
    if json is not None:
        write_result(json, result)
    for name, part in result.results.items():
        typer.echo(f"{name}: " + ", ".join(f"{part[count]:,} {count}" for count in _SHOWN))
        for note in part["notes"]:
            typer.echo(f"  {note}")
    if any(part[count] for part in result.results.values() for count in FAULTS):
        sys.exit(1)


if __name__ == "__main__":
    run(main)
