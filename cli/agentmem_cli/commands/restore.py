"""The command restore: a backup becomes a store again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from agentmem.errors import CorruptRecordError
from agentmem_cli import views
from agentmem_cli.open_memory import open_memory
from agentmem_cli.options import (
    DEFAULT_EMBEDDER,
    EmbedderOption,
    JsonOption,
    ModelOption,
    QuietOption,
)
from agentmem_cli.output import Output, safe


def restore(
    backup: Annotated[
        Path,
        typer.Argument(
            metavar="BACKUP", exists=True, file_okay=False, help="The folder of a backup."
        ),
    ],
    target: Annotated[
        Path, typer.Argument(metavar="STORE", help="A new or empty folder for the store.")
    ],
    decode: Annotated[
        bool,
        typer.Option(
            "--decode/--no-decode",
            help="Whether to decode the texts of the backup, or only to check rows and checksums.",
        ),
    ] = True,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Check a backup, and copy it to a new store.

    Nothing is copied if anything in the backup is damaged, or if there is something in the folder
    of the store: move it away first. To restore an encrypted backup, copy the key ring of the
    store, keys.db, into its folder.

    Exits with 7 if the backup is damaged. --quiet prints the folder of the store.
    """
    out = Output(json=json, quiet=quiet)
    with open_memory(str(backup), model, embedder=embedder) as memory:
        with out.progress("verifying") as bar:
            found = memory.verify(decode=decode, on_progress=bar)
        if not found.ok:
            first, count = found.damage[0], views.number(len(found.damage), "fault")
            raise CorruptRecordError(
                f"the backup {str(backup)!r} is damaged, and nothing was restored: {first.what} "
                f"({count}; `agentmem verify --store {backup}` lists all)",
                id=first.id,
            )
        with out.progress("copying") as bar:
            # The key ring is beside an encrypted backup, or it could not have been opened.
            made = memory.backup(target, keys=True, on_progress=bar)
    count = views.number(made.memories, "memory", "memories")
    out.emit(
        json=made.to_dict,
        human=lambda: Text(
            safe(f"{count} restored to {made.path} ({views.size(made.file_bytes)})")
        ),
        quiet=lambda: [str(made.path)],
    )
