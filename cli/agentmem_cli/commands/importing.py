"""The command import: what `export` has written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from agentmem_cli import views
from agentmem_cli.open_memory import open_memory, require_file
from agentmem_cli.options import (
    DEFAULT_EMBEDDER,
    DEFAULT_STORE,
    EmbedderOption,
    JsonOption,
    ModelOption,
    QuietOption,
    StoreOption,
)
from agentmem_cli.output import Output
from agentmem_cli.passphrase import PassphraseFileOption, read_passphrase

if TYPE_CHECKING:
    from agentmem.results import LoadReceipt


def import_files(
    path: Annotated[
        Path,
        typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="A file to import."),
    ],
    passphrase_file: PassphraseFileOption = None,
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Add the memories of a file that `agentmem export` has written, each in its own scope.

    The store is created if it does not exist. What it has already is not added again, so that a
    file may be imported twice, or once more after an interruption.

    --quiet prints the number of memories added.
    """
    from agentmem_storage.archive.file import is_encrypted

    out = Output(json=json, quiet=quiet)
    require_file(store)
    passphrase = read_passphrase(passphrase_file, new=False) if is_encrypted(path) else None
    with (
        open_memory(store, model, embedder=embedder, create=True) as memory,
        out.progress(path.name) as bar,
    ):
        done = memory.load(path, passphrase=passphrase, on_progress=bar)
    out.emit(
        json=done.to_dict,
        human=lambda: _shown(done),
        quiet=lambda: [str(done.memories)],
    )


def _shown(done: LoadReceipt) -> Text:
    count = views.number(done.memories, "memory", "memories")
    known = f"; {views.number(done.duplicates, 'message')} known already" if done.duplicates else ""
    anew = "; embedded anew" if done.reembedded else ""
    return Text(f"{count} added{known}{anew}")
