"""The commands add, update, forget and gc, which change a memory."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from agentmem.errors import InputError
from agentmem_cli import content as inputs
from agentmem_cli import views
from agentmem_cli.message_files import add_messages, has_messages
from agentmem_cli.open_memory import open_memory, require_file
from agentmem_cli.options import (
    DEFAULT_EMBEDDER,
    DEFAULT_STORE,
    AgentOption,
    AtOption,
    BeforeOption,
    EmbedderOption,
    ExpiresOption,
    ExternalIdsOption,
    IdArgument,
    IdsArgument,
    JsonOption,
    MetaOption,
    ModelOption,
    QuietOption,
    SessionOption,
    StoreOption,
    TtlOption,
    UserOption,
    WhereOption,
    expiry,
    memory_id,
    moment,
    read_metadata,
    scope_ids,
)
from agentmem_cli.output import Output, note_unknown_keys

if TYPE_CHECKING:
    from agentmem.results import ForgetReceipt


def add(
    text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="Texts, one message each; - reads standard input, the default without --file.",
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
            help="A document (text, Markdown) or messages (*.jsonl, *.ndjson, *.json); repeatable.",
        ),
    ] = None,
    role: Annotated[
        str | None,
        typer.Option(
            "--role", help="Speaker's role for TEXT: user (default), assistant, system, tool."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the speaker of TEXT.")] = None,
    at: AtOption = None,
    meta: MetaOption = None,
    supersedes: Annotated[
        int | None,
        typer.Option(
            "--supersedes",
            parser=memory_id,
            metavar="ID",
            help="The memory that a single TEXT or document takes the place of.",
        ),
    ] = None,
    external_id: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="ID",
            help="Your own id for the one text, unique in its scope: what has it is replaced.",
        ),
    ] = None,
    expires: ExpiresOption = None,
    ttl: TtlOption = None,
    quantization: Annotated[
        Literal["auto", "fine", "coarse"],
        typer.Option(
            "--quantization",
            help="How finely vectors are quantized; auto decides chunk by chunk.",
        ),
    ] = "auto",
    keep_text: Annotated[
        bool,
        typer.Option("--keep-text", help="Also store the text: faster to read."),
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
    """Store texts, documents and messages; the store is created if it does not exist.

    Texts and documents of one call are stored all or none. Piped input is a document, or a message
    if --role or --name is given.

    A *.jsonl or *.ndjson file has one message per line, in the form of a chat API or framework:

        {"role": "user", "name": "Ana", "content": "...",
         "at": "2026-02-13T09:40Z", "user_id": "ana"}

    A *.json file has a list of messages, one message, or an object with "messages". Their user_id,
    agent_id and session_id, if given, take precedence over the options. A file is validated before
    any of it is written, and its messages of one scope are stored all or none. Adding a file again
    stores no duplicates.

    With --id, the same again is not stored twice, and other content takes the place of what was
    there. What is kept for a time (--ttl, --expires) is in no result after it, and `gc` erases it.

    --quiet prints the ids.
    """
    out = Output(json=json, quiet=quiet)
    texts = text or ([] if file else [inputs.STDIN])
    if not (text or file) and inputs.open_stdin().isatty():
        raise typer.TyperException("give a TEXT or --file, or pipe a text in")
    if not texts and (role or name):
        raise typer.TyperException("--role and --name are for TEXT and standard input")
    if supersedes is not None and any(has_messages(path) for path in file or ()):
        raise typer.TyperException("--supersedes is for one TEXT or document, not for messages")
    require_file(store)
    from agentmem.types import Document

    paths = list(file or ())
    if external_id is not None and any(map(has_messages, paths)):
        raise typer.TyperException(
            '--id is for one text: give the messages of a file theirs as "external_id"'
        )
    content: list[Any] = list(inputs.read_texts(texts, role, name))
    content += [Document.from_file(path) for path in paths if not has_messages(path)]
    defaults = inputs.Defaults(
        scope_ids(user, agent, session), at, read_metadata(meta), expiry(expires, ttl)
    )
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
                        **defaults.scope,
                        created_at=defaults.created_at,
                        metadata=defaults.metadata,
                        id=external_id,
                        **defaults.expiry,
                        supersedes=supersedes,
                        on_progress=bar,
                    )
                )
        for path in paths:
            if has_messages(path):
                receipts += add_messages(memory, path, defaults, out)
    done = inputs.total(receipts)
    if not done.ids:
        found = ", ".join(f"{count} {kind}" for kind, count in sorted(done.skipped.items()))
        raise InputError(f"nothing was stored: there is no text, only {found}")
    out.emit(json=done.to_dict, human=lambda: views.receipt(done), quiet=lambda: map(str, done.ids))


def update(
    id: IdArgument,
    text: Annotated[
        str | None,
        typer.Option("--text", help="The new text of the complete message or document."),
    ] = None,
    at: Annotated[
        datetime | None,
        typer.Option("--at", parser=moment, metavar="TIME", help="The new time (ISO 8601)."),
    ] = None,
    meta: MetaOption = None,
    expires: ExpiresOption = None,
    ttl: TtlOption = None,
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    user: UserOption = None,
    agent: AgentOption = None,
    session: SessionOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Replace text, metadata, time or expiry of the message or document of a memory.

    A new text gets new ids, and nothing of the old one remains. --meta replaces all metadata.

    --quiet prints the ids.
    """
    out = Output(json=json, quiet=quiet)
    metadata = read_metadata(meta)
    until = expiry(expires, ttl)
    if text is None and metadata is None and at is None and not until:
        raise typer.TyperException("give --text, --meta, --at, --expires or --ttl")
    with open_memory(store, model, embedder=embedder) as memory:
        scope = scope_ids(user, agent, session)
        done = memory.update(id, text=text, metadata=metadata, created_at=at, **until, **scope)
    out.emit(json=done.to_dict, human=lambda: views.receipt(done), quiet=lambda: map(str, done.ids))


def forget(
    ids: IdsArgument = None,
    external_ids: ExternalIdsOption = None,
    where: WhereOption = None,
    before: BeforeOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be deleted.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    certificate: Annotated[
        Path | None,
        typer.Option(
            "--certificate",
            metavar="FILE",
            help="Write what was deleted, and when, to a new file, with a SHA-256 over it.",
        ),
    ] = None,
    signing_key: Annotated[
        Path | None,
        typer.Option(
            "--signing-key",
            exists=True,
            dir_okay=False,
            metavar="PEM",
            help="An Ed25519 private key that signs the certificate.",
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    user: UserOption = None,
    agent: AgentOption = None,
    session: SessionOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Delete memories so that no byte of them remains in any file of the store.

    All given conditions must hold: ids, scope, filter and time. Deleting more than one memory needs
    confirmation; without a terminal, --yes is required.

    `agentmem certificate` checks what --certificate has written.

    --quiet prints the ids.
    """
    out = Output(json=json, quiet=quiet)
    if (certificate is not None and dry_run) or (signing_key is not None and certificate is None):
        raise typer.TyperException("--signing-key needs --certificate, which needs a deletion")
    if ids and external_ids:
        raise typer.TyperException("give ids of memories or --id, not both")
    given_ids: list[Any] | None = ids or external_ids or None
    if not given_ids and where is None and before is None and not (user or agent or session):
        raise typer.TyperException(
            "give a condition: ids, --id, --user, --agent, --session, --where or --before"
        )
    scope = scope_ids(user, agent, session)
    # What is not given is left out: `forget` refuses None.
    given = {"ids": given_ids, "where": where, "before": before}
    conditions: dict[str, Any] = {name: one for name, one in given.items() if one is not None}
    written: dict[str, Any] = {"certificate": certificate, "signing_key": signing_key}
    with open_memory(store, model, embedder=embedder) as memory:
        done = memory.forget(**conditions, **scope, dry_run=True)
        unknown = done.unknown_keys
        if not dry_run:
            if yes:
                done = memory.forget(**conditions, **scope, **written)
            elif len(done.ids) < 2 or _agreed(len(done.ids), out):
                # Delete exactly what was confirmed, even if more memories match by now.
                done = memory.forget(done.ids, **scope, **written)
                done = replace(done, unknown_keys=unknown)
            else:
                out.note("nothing was forgotten")
    out.emit(
        json=done.to_dict, human=lambda: views.forgotten(done), quiet=lambda: map(str, done.ids)
    )
    note_unknown_keys(unknown, out)
    _note_unpurged(done, out)


def gc(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be erased.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Erase what has expired, so that no byte of it remains in any file of the store.

    It is in no result before that either. Meant to be run from time to time, as by cron.

    --quiet prints the ids.
    """
    out = Output(json=json, quiet=quiet)
    with open_memory(store, model, embedder=embedder) as memory:
        done = memory.gc(dry_run=dry_run)
    out.emit(
        json=done.to_dict,
        human=lambda: views.forgotten(done, nothing="nothing has expired"),
        quiet=lambda: map(str, done.ids),
    )
    _note_unpurged(done, out)


def _note_unpurged(done: ForgetReceipt, out: Output) -> None:
    if not done.dry_run and not done.purged:
        out.note(
            "bytes may be left: another process reads an older state, or the store is in "
            "PostgreSQL or beside a Milvus; see `agentmem purge --help`"
        )


def _agreed(count: int, out: Output) -> bool:
    # A closed stream is None.
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        raise typer.TyperException(
            f"{count:,} memories would be deleted: give --yes, or check with --dry-run"
        )
    return out.confirm(f"Forget {count:,} memories permanently?")
