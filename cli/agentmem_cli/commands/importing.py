"""The command import: what `export` has written, and what other programs have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from agentmem.errors import InputError
from agentmem_cli import views
from agentmem_cli.content import Defaults
from agentmem_cli.exits import ExitCode
from agentmem_cli.imports import Report, add_items, survey
from agentmem_cli.open_memory import open_memory, require_file
from agentmem_cli.options import (
    DEFAULT_EMBEDDER,
    DEFAULT_STORE,
    AgentOption,
    AtOption,
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
from agentmem_cli.passphrase import PassphraseFileOption, read_passphrase

if TYPE_CHECKING:
    from agentmem.results import LoadReceipt


def import_file(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, help="A file or folder to import.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what is in the file; nothing is stored.")
    ] = False,
    keep_going: Annotated[
        bool,
        typer.Option(
            "--keep-going",
            help="Leave out conversations that cannot be read, and name them; exits with 3.",
        ),
    ] = False,
    at: AtOption = None,
    meta: MetaOption = None,
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
    """Add the memories, conversations or documents of a file; the store is created if needed.

    Read are: .amem files of `agentmem export`; the exports of ChatGPT and Claude, as ZIP, folder or
    conversations.json; those of Slack, Telegram and WhatsApp, as ZIP, folder or file; channels of
    Discord from DiscordChatExporter; JSON and JSON lines of messages, conversations or batches;
    memories of mem0; rows of a LangGraph store; CSV tables; Markdown and text files, and folders of
    them.

    The file is read to its end before anything is stored. Conversations are then stored one by one,
    each as a whole. Importing a file again adds only what is new in it, so an interrupted import is
    simply repeated. Ids in the file take precedence over --user and --agent.

    --quiet prints the number of memories added.
    """
    from agentmem_storage.archive.file import is_archive

    out = Output(json=json, quiet=quiet)
    defaults = Defaults(scope_ids(user, agent, session), at, read_metadata(meta))
    if not dry_run:
        require_file(store)
    where: dict[str, Any] = {"store": store, "model": model, "embedder": embedder}
    if path.is_file() and is_archive(path):
        if dry_run or keep_going or defaults != Defaults({}, None, None):
            raise InputError(
                f"{str(path)!r} is an .amem file, which says itself whose memories it has: import "
                f"it without other options than those of the store and the passphrase"
            )
        _load(path, passphrase_file, out, **where)
    else:
        _import(path, defaults, out, dry_run=dry_run, keep_going=keep_going, **where)


def _load(path: Path, passphrase_file: Path | None, out: Output, **where: Any) -> None:
    from agentmem.portable import check_file
    from agentmem_storage.archive.file import is_encrypted

    passphrase = read_passphrase(passphrase_file, new=False) if is_encrypted(path) else None
    folder = Path(os.path.expanduser(where["store"]))
    if not folder.is_dir() or not any(folder.iterdir()):
        # A damaged file must not leave an empty store.
        check_file(path, passphrase=passphrase)
    with open_memory(**where, create=True) as memory, out.progress(path.name) as bar:
        done = memory.load(path, passphrase=passphrase, on_progress=bar)
    out.emit(
        json=done.to_dict,
        human=lambda: _loaded(done),
        quiet=lambda: [str(done.memories)],
    )


def _import(
    path: Path, defaults: Defaults, out: Output, *, dry_run: bool, keep_going: bool, **where: Any
) -> None:
    from agentmem.ingest.importers.recognize import read_file

    report, items = survey(path, read_file(path), defaults)
    if report.unreadable and not (keep_going or dry_run):
        first, count = report.unreadable[0], len(report.unreadable)
        raise InputError(
            f"{first['where']}: {first['why']}; {views.number(count, 'item')} of {str(path)!r} "
            f"cannot be read, and nothing was stored: --dry-run names all, --keep-going leaves "
            f"them out"
        )
    if not items and not dry_run:
        raise InputError(f"{str(path)!r} has nothing that can be stored ({report.form})")
    if not dry_run:
        with open_memory(**where, create=True) as memory:
            add_items(memory, report, items, defaults, out)
    out.emit(
        json=lambda: {**report.to_dict(), "dry_run": dry_run},
        human=lambda: _imported(report, dry_run=dry_run),
        quiet=lambda: [str(report.memories)],
    )
    if report.unreadable:
        raise typer.Exit(ExitCode.INPUT)


def _loaded(done: LoadReceipt) -> Text:
    count = views.number(done.memories, "memory", "memories")
    known = f"; {views.number(done.duplicates, 'message')} known already" if done.duplicates else ""
    anew = "; embedded anew" if done.reembedded else ""
    return Text(f"{count} added{known}{anew}")


def _imported(report: Report, *, dry_run: bool) -> Text:
    has = f"{views.number(report.items, 'item')} with {views.number(report.texts, 'text')}"
    lines = [f"{report.form}: {has}"]
    if report.skipped:
        counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(report.skipped.items()))
        lines.append(f"left out: {counts}")
    lines += [f"unreadable: {one['where']}: {one['why']}" for one in report.unreadable]
    if not dry_run:
        added = views.number(report.memories, "memory", "memories")
        known = f"; {report.duplicates:,} known already" if report.duplicates else ""
        lines.append(f"{added} added{known}")
    return Text(safe("\n".join(lines)))
