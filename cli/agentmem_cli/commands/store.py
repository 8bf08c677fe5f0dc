"""The commands stats and verify, of a store or a scope; doctor, reindex and backup, of a store."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from agentmem.errors import InputError
from agentmem_cli import views
from agentmem_cli.exits import ExitCode
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
    StoreOption,
    UserOption,
    scope_ids,
)
from agentmem_cli.output import Output, safe

if TYPE_CHECKING:
    from agentmem.results import Damage

_MARKS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def stats(
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    user: UserOption = None,
    agent: AgentOption = None,
    session: SessionOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show the contents and size of the store or of a scope, and the fidelity of its vectors.

    --quiet prints the number of memories.
    """
    out = Output(json=json, quiet=quiet)
    with open_memory(store, model, embedder=embedder) as memory:
        found = memory.stats(**scope_ids(user, agent, session))
    out.emit(
        json=found.to_dict,
        human=lambda: views.stats(found),
        quiet=lambda: [str(found.memories)],
    )


def verify(
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    user: UserOption = None,
    agent: AgentOption = None,
    session: SessionOption = None,
    decode: Annotated[
        bool,
        typer.Option(
            "--decode/--no-decode",
            help="Whether to decode texts, or only to check rows and checksums.",
        ),
    ] = True,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Rebuild what can be rebuilt, and put the rest into quarantine. Copy the store "
            "first.",
        ),
    ] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Decode every text and compare it with its hash; list damage by id.

    With a scope, only its memories are checked, and not the file as a whole. --no-decode takes a
    small part of the time, and compares neither texts nor the words in the lexical index. What is
    in quarantine is listed too; `agentmem forget ID` deletes it.

    Exits with 7 if anything is damaged, and with --repair, if anything still is. --quiet prints the
    ids of damaged memories, and with --repair, of those that were taken out of use.
    """
    out = Output(json=json, quiet=quiet)
    if repair:
        if not decode or scope_ids(user, agent, session):
            raise InputError(
                "--repair is for the complete store, and has to decode: leave out the rest"
            )
        _repair(out, store, model, embedder)
        return
    with open_memory(store, model, embedder=embedder) as memory, out.progress("verifying") as bar:
        found = memory.verify(**scope_ids(user, agent, session), decode=decode, on_progress=bar)

    def human() -> Text:
        checked = views.number(found.checked, "memory", "memories")
        how = "decoded" if decode else "not decoded"
        kept = [f"#{one.id} is in quarantine: {one.why}" for one in found.quarantined]
        if found.ok:
            last = f"no damage: {checked} {how}{' byte for byte' if decode else ''}"
        else:
            last = f"{views.number(len(found.damage), 'fault')}; {checked} {how}"
        return Text(safe("\n".join([*map(_fault, found.damage), *kept, last])))

    out.emit(
        json=found.to_dict,
        human=human,
        quiet=lambda: [str(item.id) for item in found.damage if item.id is not None],
    )
    if not found.ok:
        raise typer.Exit(ExitCode.DAMAGE)


def _repair(out: Output, store: str, model: Path | None, embedder: str) -> None:
    with open_memory(store, model, embedder=embedder) as memory, out.progress("verifying") as bar:
        done = memory.repair(on_progress=bar)

    def human() -> Text:
        if not done.damage:
            return Text("no damage: nothing was changed")
        lines = [f"made again: {what}" for what in done.rebuilt]
        if done.embedded:
            lines.append(f"made again: embeddings of {views.ranges(done.embedded)}")
        lines += [f"#{one.id} is in quarantine now: {one.why}" for one in done.quarantined]
        lines += [f"still damaged: {_fault(item)}" for item in done.left]
        end = "mended" if done.ok else "not all is mended: restore a backup"
        return Text(safe("\n".join([*lines, end])))

    out.emit(
        json=done.to_dict, human=human, quiet=lambda: [str(one.id) for one in done.quarantined]
    )
    if not done.ok:
        raise typer.Exit(ExitCode.DAMAGE)


def _fault(item: Damage) -> str:
    return f"{'store' if item.id is None else f'#{item.id}'}: {item.what}"


def doctor(
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Check the installation, the model bundle, the store and the disk; works without a store.

    Exits with 7 if a check fails. Texts are not decoded; that is what `verify` does. --quiet prints
    only warnings and failures.
    """
    from agentmem_cli.doctor import checks

    out = Output(json=json, quiet=quiet)
    found = list(checks(store, model, embedder))
    failed = any(check.status == "fail" for check in found)

    def human() -> Text:
        width = max(len(check.name) for check in found)
        lines = [
            Text.assemble(
                (f"{check.status:<4}", _MARKS[check.status]),
                f"  {check.name:<{width}}  {safe(check.detail)}",
            )
            for check in found
        ]
        return Text("\n").join(lines)

    out.emit(
        json=lambda: {"ok": not failed, "checks": [asdict(check) for check in found]},
        human=human,
        quiet=lambda: [f"{c.status} {c.name}: {c.detail}" for c in found if c.status != "ok"],
    )
    if failed:
        raise typer.Exit(ExitCode.DAMAGE)


def reindex(
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Rebuild the vector index and the lexical index from the stored rows.

    Not needed for correct results: a lost or damaged index is rebuilt automatically.
    --quiet prints the number of memories.
    """
    out = Output(json=json, quiet=quiet)
    with open_memory(store, model, embedder=embedder) as memory:
        memory.reindex()
        count = memory.stats().memories
    out.emit(
        json=lambda: {"memories": count},
        human=lambda: Text(f"reindexed {views.number(count, 'memory', 'memories')}"),
        quiet=lambda: [str(count)],
    )


def purge(
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Remove the bytes of what was forgotten from the files of the store.

    `forget` does that by itself, unless another process was reading an older state, or the program
    that forgot leaves it for later, as `agentmem serve --purge later` does. --quiet prints nothing.
    The exit code is 5 if bytes are left, because another process still reads an older state.

    A store in PostgreSQL has its tables vacuumed, while others read and write: what was forgotten
    is in none of them any more, but its bytes may be in the server's log and free space. Likewise
    those of a Milvus that AGENTMEM_INDEX names.
    """
    from agentmem.opening import index_choice

    out = Output(json=json, quiet=quiet)
    with open_memory(store, model, embedder=embedder) as memory:
        done = memory.purge()
    is_file = not store.startswith("postgres") and not index_choice(None).startswith("milvus+")
    out.emit(
        json=lambda: {"purged": done},
        human=lambda: Text(
            f"no {'byte' if is_file else 'row'} of what was forgotten is left"
            if done
            else "another process reads an older state, or a server cannot be reached: bytes are "
            "left, try again later"
        ),
        quiet=lambda: [],
    )
    if not done:
        raise typer.Exit(ExitCode.STORE)


def backup(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A new or empty folder for the copy.")
    ],
    with_keys: Annotated[
        bool,
        typer.Option(
            "--with-keys",
            help="Copy the key ring of an encrypted store too; what is forgotten in the store "
            "later is then still in the copy.",
        ),
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Copy the store to a new folder, consistently, while others use it.

    The copy is a store that every command opens with --store. That of an encrypted store is without
    its key ring, keys.db, which is to be kept elsewhere. --quiet prints the folder of the copy.
    """
    out = Output(json=json, quiet=quiet)
    with open_memory(store, model, embedder=embedder) as memory, out.progress("copying") as bar:
        made = memory.backup(path, keys=with_keys, on_progress=bar)
    count = views.number(made.memories, "memory", "memories")
    out.emit(
        json=made.to_dict,
        human=lambda: Text(safe(f"{count} copied to {made.path} ({views.size(made.file_bytes)})")),
        quiet=lambda: [str(made.path)],
    )
