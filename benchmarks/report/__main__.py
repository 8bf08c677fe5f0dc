"""``python -m benchmarks.report``: result files to Markdown tables and plots."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.command import run
from benchmarks.report.plots import draw_plots
from benchmarks.report.tables import update_tables


def report(
    results: Annotated[
        Path,
        typer.Option("--results", exists=True, file_okay=False, help="Folder of results."),
    ],
    into: Annotated[
        list[Path],
        typer.Option("--into", exists=True, dir_okay=False, help="Markdown file; repeatable."),
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if a table is stale.")
    ] = False,
) -> None:
    """Write tables between the markers of Markdown files, and plots beside the result files.

    <!-- results:NAME --> ... <!-- /results --> gets the table of NAME.json; the name "summary"
    gets a short table of figures from several files.
    """
    changed = [
        f"{name} in {file.name}"
        for file in into
        for name in update_tables(file, results, check=check)
    ]
    if not check:
        draw_plots(results)
    names = ", ".join(changed)
    typer.echo(f"{'stale' if check else 'written'}: {names}" if changed else "all are up to date")
    if check and changed:
        sys.exit(1)


if __name__ == "__main__":
    run(report)
