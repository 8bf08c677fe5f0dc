"""The command watch: a folder of documents that the store follows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from agentmem_cli import views
from agentmem_cli.content import Defaults
from agentmem_cli.exits import ExitCode
from agentmem_cli.open_memory import open_memory, require_file
from agentmem_cli.options import (
    DEFAULT_EMBEDDER,
    DEFAULT_STORE,
    AgentOption,
    EmbedderOption,
    JsonOption,
    MetaOption,
    ModelOption,
    QuietOption,
    SessionOption,
    StoreOption,
    UserOption,
    read_metadata,
    scope_ids,
)
from agentmem_cli.output import Output, safe
from agentmem_cli.watching import Changes, Watcher


def watch(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", exists=True, file_okay=False, help="A folder of documents."
        ),
    ],
    once: Annotated[
        bool, typer.Option("--once", help="Look once and end, such as from cron.")
    ] = False,
    delete: Annotated[
        bool,
        typer.Option("--delete", help="Forget documents that are no longer in the folder."),
    ] = False,
    every: Annotated[
        float, typer.Option("--every", min=0.1, help="Seconds between two looks.")
    ] = 2.0,
    meta: MetaOption = None,
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    user: UserOption = None,
    agent: AgentOption = None,
    session: SessionOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Store the Markdown and text files of a folder, and follow their changes until Ctrl-C.

    A file is known by its path: a new text takes the place of the old, of which no byte remains.
    What is deleted in the folder stays in the store, unless --delete is given. Files whose time and
    size are the same are not read again. Hidden files and symbolic links are left out.

    --json prints one object for each look that found something. --quiet prints nothing.
    """
    require_file(store)
    out = Output(json=json, quiet=quiet)
    defaults = Defaults(scope_ids(user, agent, session), None, read_metadata(meta))
    where: dict[str, Any] = {"store": store, "model": model, "embedder": embedder}
    with open_memory(**where, create=True) as memory:
        watcher = Watcher(memory, folder, defaults, delete=delete)
        try:
            found = _look(watcher, folder, out, always=True)
            if once:
                if found.unreadable:
                    raise typer.Exit(ExitCode.INPUT)
                return
            out.note(f"watching {folder}; Ctrl-C ends")
            while True:
                time.sleep(every)
                _look(watcher, folder, out, always=False)
        except KeyboardInterrupt:
            if once:
                raise
            # What was stored is stored; the rest is found at the next start.
            out.note("stopped")


def _look(watcher: Watcher, folder: Path, out: Output, *, always: bool) -> Changes:
    with out.progress(folder.name) as bar:
        found = watcher.look(bar)
    if found or always:
        out.emit(json=found.to_dict, human=lambda: _shown(found), quiet=list, line=True)
    return found


def _shown(found: Changes) -> Text:
    lines = [f"added {path}" for path in found.added]
    lines += [f"changed {path}" for path in found.changed]
    lines += [f"forgot {path}" for path in found.forgotten]
    lines += [f"kept {path}, which is gone or empty" for path in found.missing]
    lines += [f"unreadable: {one['path']}: {one['why']}" for one in found.unreadable]
    stored = len(found.added) + len(found.changed)
    lines.append(f"{views.number(found.files, 'document')}, {stored:,} of them new or changed")
    return Text(safe("\n".join(lines)))
