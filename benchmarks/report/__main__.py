"""``python -m benchmarks.report``: updates the result tables of a Markdown file, and the plots."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.command import run
from benchmarks.report.plots import draw_plots
from benchmarks.report.tables import update_readme


def report(
    results: Annotated[
        Path,
        typer.Option("--results", exists=True, file_okay=False, help="Folder of results."),
    ],
    readme: Annotated[
        Path, typer.Option("--readme", exists=True, dir_okay=False, help="Markdown file to fill.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if a table is stale.")
    ] = False,
) -> None:
    """Put tables of the results between the markers of a README, and draw the plots beside them.

    <!-- results:NAME --> ... <!-- /results --> gets the table of NAME.json.
    """
    changed = update_readme(readme, results, check=check)
    if not check:
        draw_plots(results)
    names = ", ".join(changed)
    typer.echo(f"{'stale' if check else 'written'}: {names}" if changed else "all are up to date")
    if check and changed:
        sys.exit(1)


if __name__ == "__main__":
    run(report)
