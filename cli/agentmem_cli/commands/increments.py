"""The commands increment and complete: many backups in little space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from agentmem_cli import views
from agentmem_cli.options import JsonOption, QuietOption
from agentmem_cli.output import Output, safe

_Backup = Annotated[
    Path,
    typer.Argument(metavar="BACKUP", exists=True, file_okay=False, help="The folder of a backup."),
]


def increment(
    backup: _Backup,
    base: Annotated[
        Path,
        typer.Option(
            "--base",
            exists=True,
            file_okay=False,
            metavar="PATH",
            help="The folder of an earlier backup, or of an increment; it has to be kept.",
        ),
    ],
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Keep of a backup only what an earlier one does not have.

    `agentmem complete` puts it together again. --quiet prints the folder.
    """
    from agentmem.memory import Memory

    out = Output(json=json, quiet=quiet)
    made = Memory.increment(backup, base=base)
    sizes = f"{views.size(made.file_bytes)} in place of {views.size(made.full_bytes)}"
    out.emit(
        json=made.to_dict,
        human=lambda: Text(safe(f"{made.path} is an increment: {sizes}")),
        quiet=lambda: [str(made.path)],
    )


def complete(
    backup: _Backup,
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A new or empty folder for the whole backup.")
    ],
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Put a backup together again from an increment and the backups that it was made from.

    The result is a store. --quiet prints its folder.
    """
    from agentmem.memory import Memory

    out = Output(json=json, quiet=quiet)
    made = Memory.complete(backup, path)
    out.emit(
        json=lambda: {"path": str(made)},
        human=lambda: Text(safe(f"{made} is complete")),
        quiet=lambda: [str(made)],
    )
