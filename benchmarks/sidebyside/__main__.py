"""Recall side by side: agentmem, plain BM25, dense search, their fusion, and memory SDKs, one run.

``make sidebyside LOCOMO=locomo10.json`` installs the baselines beside agentmem in an environment of
their own and runs it. ``--data`` is LoCoMo's own file, or JSON lines of anyone's own conversations
and questions (see `agentmem.evaluation.datasets`), with the same tables as outcome. The systems are
named in the configuration; without their packages, theirs stand in the result as failed.

Each system gets the same turns, conversation by conversation, is asked each question for 50 turns
inside its conversation and over all of them, and once for its whole ranking of the conversation.
Baselines get each turn as ``Speaker: what was said``, with what their documentation names to keep
conversations apart; agentmem gets speaker, time and text, each as such, and is asked as of the last
turn's time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from agentmem.evaluation.result import write_result
from agentmem.training.config import load_config
from benchmarks.command import run
from benchmarks.sidebyside.config import SideBySideConfig
from benchmarks.sidebyside.report import sidebyside_tables
from benchmarks.sidebyside.study import evaluate_side_by_side


def main(
    config: Annotated[Path, typer.Option(help="systems and limits, as a TOML file")],
    data: Annotated[Path, typer.Option(help="LoCoMo's file, or JSON lines of conversations")],
    json: Annotated[Path, typer.Option(help="where the result goes")],
    runs: Annotated[
        Path | None, typer.Option(help="folder of each system's rankings; those there are taken")
    ] = None,
) -> None:
    """Measure, write the result file, and show its tables."""
    settings = load_config(config, SideBySideConfig)
    with _bar() as bar:
        shown = bar.add_task("", total=None)

        def on_progress(done: int, total: int, note: str = "") -> None:
            bar.update(shown, completed=done, total=total, description=note)

        result = evaluate_side_by_side(
            settings, data, path=[Path(__file__).parents[2]], runs=runs, on_progress=on_progress
        )
    write_result(json, result)
    Console().print(Markdown("\n".join(sidebyside_tables(result.results))))
    failed = [system for system in result.results["systems"] if system["error"] is not None]
    raise typer.Exit(1 if failed else 0)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}", markup=False), BarColumn())
    return Progress(
        *columns, TaskProgressColumn(), TimeRemainingColumn(), console=Console(stderr=True)
    )


if __name__ == "__main__":
    run(main)
