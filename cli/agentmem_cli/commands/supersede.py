"""The commands supersede, history and conflicts: memories that take the place of others."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from agentmem_cli import views
from agentmem_cli.open_memory import open_memory
from agentmem_cli.options import (
    DEFAULT_EMBEDDER,
    DEFAULT_STORE,
    AgentOption,
    EmbedderOption,
    IdArgument,
    JsonOption,
    ModelOption,
    QuietOption,
    SessionOption,
    StoreOption,
    UserOption,
    memory_id,
    scope_ids,
)
from agentmem_cli.output import Output


def supersede(
    old: Annotated[
        int, typer.Argument(parser=memory_id, metavar="OLD", help="Id of what is superseded.")
    ],
    new: Annotated[
        int, typer.Argument(parser=memory_id, metavar="NEW", help="Id of what takes its place.")
    ],
    undo: Annotated[
        bool, typer.Option("--undo", help="Take it back, or dismiss what `conflicts` shows.")
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
    """State that one memory takes the place of another, which is kept.

    Recall shows the newer one first, unless the question is about before.

    --quiet prints the ids of all that are joined so, the first of them first.
    """
    out = Output(json=json, quiet=quiet)
    with open_memory(store, model, embedder=embedder) as memory:
        scope = scope_ids(user, agent, session)
        memory.supersede(old, new, undo=undo, **scope)
        ids = [one.chunks[0].id for one in memory.history(new, **scope)]
    verb = "no longer supersedes" if undo else "supersedes"
    out.emit(
        json=lambda: {"old": old, "new": new, "undone": undo, "history": ids},
        human=lambda: Text(f"#{new} {verb} #{old}"),
        quiet=lambda: map(str, ids),
    )


def history(
    id: IdArgument,
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    user: UserOption = None,
    agent: AgentOption = None,
    session: SessionOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show what a memory superseded and what supersedes it, the first of them first.

    --quiet prints the ids.
    """
    out = Output(json=json, quiet=quiet)
    with open_memory(store, model, embedder=embedder) as memory:
        found = memory.history(id, **scope_ids(user, agent, session))
    out.emit(
        json=lambda: [one.to_dict() for one in found],
        human=lambda: Text("\n").join(views.line(one.chunks[0]) for one in found),
        quiet=lambda: [str(one.chunks[0].id) for one in found],
    )


def conflicts(
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    user: UserOption = None,
    agent: AgentOption = None,
    session: SessionOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show memories that seem to contradict each other, the likeliest first.

    `agentmem supersede OLD NEW` confirms a pair, and with --undo dismisses it. Nothing is deleted.

    --quiet prints the two ids of each pair, the earlier memory first.
    """
    out = Output(json=json, quiet=quiet)
    scope = scope_ids(user, agent, session)
    with open_memory(store, model, embedder=embedder) as memory:
        found = memory.conflicts(**scope)
        shown: list[Text] = []
        if not (json or quiet):
            for one in found:
                lines = [views.line(memory.get(id, **scope)) for id in (one.old, one.new)]
                shown.append(Text("\n").join([Text(f"score {one.score:.2f}"), *lines]))
    out.emit(
        json=lambda: [one.to_dict() for one in found],
        human=lambda: Text("\n\n").join(shown) if shown else Text("no conflicts", style="dim"),
        quiet=lambda: [f"{one.old} {one.new}" for one in found],
    )
