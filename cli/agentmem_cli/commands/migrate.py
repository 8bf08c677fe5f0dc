"""The command migrate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from agentmem_cli import views
from agentmem_cli.key_file import key_file
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
from agentmem_cli.tables import figure_table

if TYPE_CHECKING:
    from agentmem.results import Migration, Stats


def migrate(
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    from_model: Annotated[
        Path | None,
        typer.Option(
            "--from-model",
            metavar="PATH",
            help="Folder of the bundle that wrote the store; by default it is looked for in the "
            "package, in AGENTMEM_BUNDLES and in ~/.agentmem/bundles.",
        ),
    ] = None,
    keep_old: Annotated[
        Path | None,
        typer.Option(
            "--keep-old", metavar="PATH", help="A new or empty folder for a copy of the old store."
        ),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Bring the store to another model bundle or embedder; no text has to be kept for that.

    If only the embedder differs, only embeddings are made again. Every text is decoded and compared
    before the store changes, in one step. Interrupted, it goes on where it was. --quiet prints the
    number of memories.
    """
    from agentmem.memory import Memory

    out = Output(json=json, quiet=quiet)
    with out.progress("migrating") as bar:
        done = Memory.migrate(
            store,
            model=model,
            embedder=embedder,
            from_model=from_model,
            keep_old=keep_old,
            key=key_file(),
            on_progress=bar,
        )
    out.emit(
        json=done.to_dict,
        human=lambda: _report(done),
        quiet=lambda: [str(done.after.memories)],
    )


def _report(done: Migration) -> RenderableType:
    if done.changed == "nothing":
        return Text(f"nothing to do: the store is bound to {done.after.fingerprint} already")
    table = figure_table(("", "before", "after"))
    for (name, before), (_, after) in zip(_rows(done.before), _rows(done.after), strict=True):
        table.add_row(name, Text(before), Text(after))
    lines = []
    if done.changed == "embeddings":
        lines.append("the latents are the same: only embeddings were made")
    if done.resumed:
        ready = views.number(done.resumed, "memory", "memories")
        lines.append(f"{ready} had been encoded by an interrupted run")
    if done.split:
        several = views.number(len(done.split), "memory was", "memories were")
        lines.append(f"{several} too long for one chunk and split: {views.ranges(done.split)}")
    if done.kept is not None:
        lines.append(f"the old store is in {done.kept}")
    return Group(table, Text(safe("\n".join(lines)))) if lines else table


def _rows(found: Stats) -> list[tuple[str, str]]:
    exact = found.fidelity[-1][1] / found.memories if found.memories else 1.0
    return [
        ("bundle", safe(found.model)),
        ("fingerprint", safe(found.fingerprint)),
        ("memories", f"{found.memories:,}"),
        ("tokens", f"{found.tokens:,}"),
        ("exact from the vectors alone", views.percent(exact)),
        ("latents", views.size(found.latent_bytes)),
        ("patches", views.size(found.patch_bytes)),
        ("embeddings", views.size(found.embedding_bytes)),
        ("all files", views.size(found.file_bytes or 0)),
    ]
