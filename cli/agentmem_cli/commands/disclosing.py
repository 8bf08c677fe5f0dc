"""The commands dossier, audit and certificate: what is held on somebody, and what was done."""

from __future__ import annotations

import json as json_module
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
    scope_ids,
)
from agentmem_cli.output import Output, safe
from agentmem_cli.tables import figure_table


def dossier(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="A new file; by default it is printed."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    user: UserOption = None,
    agent: AgentOption = None,
    session: SessionOption = None,
    quiet: QuietOption = False,
) -> None:
    """Write everything that is held on a person as one JSON document.

    Texts, metadata, times, ids, links and lines of the audit log, also of what has expired and is
    not erased yet. It answers a request for access under data protection law.

    --quiet prints nothing but the file, if one is given.
    """
    scope = scope_ids(user, agent, session)
    if not scope:
        raise typer.TyperException("say whose: give --user, --agent or --session")
    out = Output(quiet=quiet)
    with open_memory(store, model, embedder=embedder) as memory, out.progress("reading") as bar:
        made = memory.dossier(**scope, on_progress=bar)
    if path is None:
        Output(json=True).emit(json=made.to_dict, human=Text, quiet=tuple)
        return
    saved = made.save(path)
    count = views.number(made.memories, "memory", "memories")
    out.emit(
        json=dict,
        human=lambda: Text(safe(f"{count} written to {saved}")),
        quiet=lambda: [str(saved)],
    )


def audit(
    begin: Annotated[
        bool, typer.Option("--begin", help="Keep an audit log from now on, for all processes.")
    ] = False,
    end: Annotated[
        bool, typer.Option("--end", help="Write no more lines; those that there are stay.")
    ] = False,
    since: SinceOption = None,
    until: UntilOption = None,
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    user: UserOption = None,
    agent: AgentOption = None,
    session: SessionOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show whose memories were added, changed and forgotten, and when; no text.

    --json prints one object per line. --quiet prints the numbers of the lines.
    """
    out = Output(json=json, quiet=quiet)
    if begin and end:
        raise typer.TyperException("give --begin or --end, not both")
    switch = True if begin else False if end else None
    with open_memory(store, model, embedder=embedder, audit=switch) as memory:
        if switch is not None:
            out.note(
                "an audit log is kept from now on" if begin else "no audit log is kept any more"
            )
            return
        lines = memory.audit(**scope_ids(user, agent, session), since=since, until=until)
    if json:
        from agentmem.dossier import audit_values

        for line in lines:
            _write(out, audit_values(line))
        return

    def table() -> Any:
        found = figure_table(("at", "what", "user", "agent", "session", "memories"))
        for line in lines:
            ids = ", ".join(map(str, line.ids[:8])) + (", ..." if len(line.ids) > 8 else "")
            words = (line.scope.user_id, line.scope.agent_id, line.scope.session_id)
            shown = (safe(word or "-") for word in words)
            found.add_row(f"{line.at.astimezone():%Y-%m-%d %H:%M:%S}", line.op, *shown, ids)
        return found

    out.emit(json=list, human=table, quiet=lambda: [str(line.id) for line in lines])


def _write(out: Output, line: dict[str, Any]) -> None:
    out.emit(json=lambda: line, human=Text, quiet=tuple, line=True)


def certificate(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="From `forget --certificate`.")],
    public_key: Annotated[
        Path | None,
        typer.Option(
            "--public-key",
            exists=True,
            dir_okay=False,
            metavar="PEM",
            help="The Ed25519 key that must have signed it.",
        ),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Check that a certificate of `forget` is as it was written, and show what it says.

    --quiet prints the ids of the memories that were forgotten.
    """
    from agentmem.certificates import check_certificate

    out = Output(json=json, quiet=quiet)
    found = check_certificate(path, public_key=public_key)
    signature = found["signature"]

    def human() -> Text:
        signed = f"signed by {signature['public_key']}" if signature else "not signed"
        count = views.number(found["memories"], "memory", "memories")
        left = "no byte is left in the store" if found["purged"] else "bytes may be left"
        asked = json_module.dumps(found["asked"], ensure_ascii=False)
        return Text(
            safe(f"{count} forgotten at {found['ended_at']}, {left}; asked for: {asked}; {signed}")
        )

    out.emit(json=lambda: found, human=human, quiet=lambda: map(str, found["ids"]))
