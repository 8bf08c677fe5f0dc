"""The command rekey: another key for an encrypted store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from agentmem_cli.open_memory import open_memory
from agentmem_cli.options import (
    DEFAULT_EMBEDDER,
    DEFAULT_STORE,
    EmbedderOption,
    JsonOption,
    ModelOption,
    QuietOption,
    StoreOption,
)
from agentmem_cli.output import Output, safe


def rekey(
    new_key: Annotated[
        Path,
        typer.Argument(metavar="NEW_KEY_FILE", help="The file with the new key, 32 random bytes."),
    ],
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Give an encrypted store another key; --key-file names the present one.

    Only keys.db is written, as a whole or not at all. Programs that have the store open have to
    open it again, as the error at their next call says. A copy of keys.db that was made before
    still opens with the old key. --quiet prints the path of the new key file.
    """
    out = Output(json=json, quiet=quiet)
    with open_memory(store, model, embedder=embedder) as memory:
        memory.change_key(new_key)
    path = new_key.expanduser().absolute()
    out.emit(
        json=lambda: {"key_file": str(path)},
        human=lambda: Text(safe(f"{store!r} opens with --key-file {path} from now on")),
        quiet=lambda: [str(path)],
    )
