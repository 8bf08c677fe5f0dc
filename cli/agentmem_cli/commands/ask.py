"""The command ask: shows the memories that may answer a question."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from agentmem_cli import views
from agentmem_cli.open_memory import open_memory
from agentmem_cli.options import (
    DEFAULT_EMBEDDER,
    DEFAULT_STORE,
    AgentOption,
    EmbedderOption,
    JsonOption,
    LimitOption,
    ModelOption,
    QuietOption,
    SessionOption,
    SinceOption,
    StoreOption,
    UntilOption,
    UserOption,
    WhereOption,
    scope_ids,
)
from agentmem_cli.output import Output
from agentmem_cli.views import NO_READER


def ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="In plain words.")],
    k: LimitOption = 3,
    where: WhereOption = None,
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
    """Show the memories that may answer a question, in full.

    Questions stored by `agentmem chat` are excluded. No reader is installed that could phrase an
    answer.

    --quiet prints only the texts.
    """
    from agentmem.chat.questions import answers_only

    out = Output(json=json, quiet=quiet)
    with open_memory(store, model, embedder=embedder) as memory:
        found = memory.recall(
            question,
            k=k,
            **scope_ids(user, agent, session),
            where=answers_only(where),
            since=since,
            until=until,
        )

        def human() -> RenderableType:
            if not found:
                return Text("nothing found", style="dim")
            return Group(*(views.named(hit, full=True) for hit in found))

        out.emit(
            json=lambda: {
                "question": question,
                "answer": None,
                "memories": [hit.to_dict() for hit in found],
            },
            human=human,
            quiet=lambda: [hit.text for hit in found],
        )
        if found:
            out.note(NO_READER)
