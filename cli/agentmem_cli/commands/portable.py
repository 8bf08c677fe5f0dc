"""The command export: memories to a file that `import` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from agentmem_cli import views
from agentmem_cli.open_memory import open_memory
from agentmem_cli.options import (
    DEFAULT_EMBEDDER,
    DEFAULT_STORE,
    AgentOption,
    EmbedderOption,
    JsonOption,
    ModelOption,
    QuietOption,
    SessionOption,
    SinceOption,
    StoreOption,
    UntilOption,
    UserOption,
    WhereOption,
    WithoutOption,
    scope_ids,
)
from agentmem_cli.output import Output, safe
from agentmem_cli.passphrase import PassphraseFileOption, read_passphrase


def export(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, such as ana.amem.")],
    where: WhereOption = None,
    without: WithoutOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="Encrypt the file with a passphrase.")
    ] = False,
    passphrase_file: PassphraseFileOption = None,
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    user: UserOption = None,
    agent: AgentOption = None,
    session: SessionOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write memories to one file, bit for bit, while others use the store.

    `agentmem import` reads it into another store, or into the same one again. Equal memories make
    equal files, unless they are encrypted. Messages and documents are written as wholes.

    --quiet prints the file.
    """
    out = Output(json=json, quiet=quiet)
    encrypted = encrypt or passphrase_file is not None
    passphrase = read_passphrase(passphrase_file, new=True) if encrypted else None
    chosen: dict[str, Any] = {"where": where, "without": without, "since": since, "until": until}
    with open_memory(store, model, embedder=embedder) as memory, out.progress("writing") as bar:
        made = memory.export(
            path,
            **scope_ids(user, agent, session),
            **chosen,
            passphrase=passphrase,
            on_progress=bar,
        )
    count = views.number(made.memories, "memory", "memories")
    how = ", encrypted" if encrypted else ""
    out.emit(
        json=made.to_dict,
        human=lambda: Text(
            safe(f"{count} written to {made.path} ({views.size(made.file_bytes)}{how})")
        ),
        quiet=lambda: [str(made.path)],
    )
