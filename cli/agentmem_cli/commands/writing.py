"""Commands that change a memory: add, update, forget."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from agentmem_cli import adding, views
from agentmem_cli.opening import open_memory
from agentmem_cli.options import (
    DEFAULT_EMBEDDER,
    DEFAULT_STORE,
    AgentOption,
    AtOption,
    BeforeOption,
    EmbedderOption,
    IdArgument,
    JsonOption,
    MetaOption,
    ModelOption,
    QuietOption,
    SessionOption,
    StoreOption,
    UserOption,
    WhereOption,
    read_metadata,
    scope_words,
)
from agentmem_cli.output import Output


def add(
    text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="Texts, one message each; - reads standard input, as does no TEXT and no --file.",
        ),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            "--file",
            "-f",
            exists=True,
            dir_okay=False,
            metavar="PATH",
            help="A document (plain text, Markdown), or messages (*.jsonl); repeatable.",
        ),
    ] = None,
    role: Annotated[
        str | None,
        typer.Option("--role", help="Who says TEXT: user (default), assistant, system, tool."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of who says TEXT.")] = None,
    at: AtOption = None,
    meta: MetaOption = None,
    quantization: Annotated[
        Literal["auto", "fine", "coarse"],
        typer.Option(
            "--quantization",
            help="How finely vectors are quantized; auto decides chunk by chunk.",
        ),
    ] = "auto",
    keep_text: Annotated[
        bool,
        typer.Option("--keep-text", help="Store the text beside the vectors: faster to read."),
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    user: UserOption = None,
    agent: AgentOption = None,
    session: SessionOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Store texts, documents and messages; the store is made if there is none.

    Texts and documents of one call are stored all or none. What is piped in is a document, or a
    message if --role or --name is given.

    A *.jsonl file has one message per line, in OpenAI or Anthropic form:

        {"role": "user", "name": "Ana", "content": "...",
         "at": "2026-02-13T09:40Z", "user_id": "ana"}

    Its user_id, agent_id and session_id, if given, win over the options. The file is read in
    batches of 1000 lines, and every line of a batch is checked before any of it is written; of a
    batch, all of one scope is stored or none. Adding a file again stores nothing twice.

    --quiet prints the ids.
    """
    out = Output(json=json, quiet=quiet)
    texts = text or ([] if file else [adding.STDIN])
    if not (text or file) and sys.stdin.isatty():
        raise typer.TyperException("give a TEXT or --file, or pipe a text in")
    if not texts and (role or name):
        raise typer.TyperException("--role and --name are for TEXT and standard input")
    from agentmem.types import Document

    paths = list(file or ())
    content: list[Any] = list(adding.read_texts(texts, role, name))
    content += [Document.from_file(path) for path in paths if not adding.holds_lines(path)]
    said = adding.Said(scope_words(user, agent, session), at, read_metadata(meta))
    receipts = []
    with open_memory(
        store,
        model,
        embedder=embedder,
        create=True,
        quantization=quantization,
        keep_text=keep_text,
    ) as memory:
        if content:
            with out.progress("adding") as bar:
                receipts.append(
                    memory.add(
                        content,
                        **said.scope,
                        created_at=said.created_at,
                        metadata=said.metadata,
                        on_progress=bar,
                    )
                )
        for path in paths:
            if adding.holds_lines(path):
                receipts += adding.add_lines(memory, path, said, out)
    done = adding.total(receipts)
    out.emit(json=done.to_dict, human=lambda: views.receipt(done), quiet=lambda: map(str, done.ids))


def update(
    id: IdArgument,
    text: Annotated[
        str | None,
        typer.Option("--text", help="The new text of the whole message or document."),
    ] = None,
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
    """Give the message or document that a memory belongs to a new text or new metadata.

    A new text gets new ids, and nothing of the old one is left. All of --meta takes the place of
    all metadata there was.

    --quiet prints the ids.
    """
    out = Output(json=json, quiet=quiet)
    metadata = read_metadata(meta)
    if text is None and metadata is None:
        raise typer.TyperException("give --text, --meta or both")
    with open_memory(store, model, embedder=embedder) as memory:
        done = memory.update(id, text=text, metadata=metadata, **scope_words(user, agent, session))
    out.emit(json=done.to_dict, human=lambda: views.receipt(done), quiet=lambda: map(str, done.ids))


def forget(
    ids: Annotated[list[int] | None, typer.Argument(metavar="ID", help="Ids of memories.")] = None,
    where: WhereOption = None,
    before: BeforeOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask, however many memories go.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    user: UserOption = None,
    agent: AgentOption = None,
    session: SessionOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Delete memories so that no byte of them is left in any file of the store.

    What goes must fit everything that is given: ids, scope, filter and time. If that is more than
    one memory, you are asked first; without a terminal to ask on, --yes is needed.

    --quiet prints the ids.
    """
    out = Output(json=json, quiet=quiet)
    if not ids and where is None and before is None and not (user or agent or session):
        raise typer.TyperException(
            "say what to forget: ids, --user, --agent, --session, --where or --before"
        )
    scope = scope_words(user, agent, session)
    with open_memory(store, model, embedder=embedder) as memory:
        done = memory.forget(ids or None, **scope, where=where, before=before, dry_run=True)
        if not dry_run:
            if len(done.ids) < 2 or yes or _agreed(len(done.ids), out):
                # What was seen is what goes, even if more has come that would fit.
                done = memory.forget(done.ids, **scope)
            else:
                out.note("nothing was forgotten")
    out.emit(
        json=done.to_dict, human=lambda: views.forgotten(done), quiet=lambda: map(str, done.ids)
    )
    if not done.dry_run and not done.purged:
        out.note("another process still reads an older state: the last bytes go when it ends")


def _agreed(count: int, out: Output) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise typer.TyperException(
            f"{count:,} memories would go: give --yes, or look with --dry-run"
        )
    return out.confirm(f"Forget {count:,} memories for good?")
