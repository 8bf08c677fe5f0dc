"""The command ask: recall, then let a reader answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agentmem_cli import views
from agentmem_cli.answering import Answer, find, open_answerer
from agentmem_cli.opening import open_memory
from agentmem_cli.options import (
    DEFAULT_KEYS,
    DEFAULT_STORE,
    AgentOption,
    JsonOption,
    KeysOption,
    ModelOption,
    QuietOption,
    ReaderOption,
    ReadOption,
    SessionOption,
    SinceOption,
    StoreOption,
    UntilOption,
    UserOption,
    WhereOption,
    scope_words,
)
from agentmem_cli.output import Output, safe

if TYPE_CHECKING:
    from agentmem.recall.hits import Hit


def ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="In plain words.")],
    k: ReadOption = 3,
    where: WhereOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    reader: ReaderOption = None,
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    keys: KeysOption = DEFAULT_KEYS,
    user: UserOption = None,
    agent: AgentOption = None,
    session: SessionOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Answer a question from memory: find what fits, and let a reader read it.

    The reader gets memory vectors in place of text, and the exact text of a memory whose vectors
    alone say too little. What was only asked in `agentmem chat` is not read.

    --quiet prints the answer, and nothing if there is nothing to read.
    """
    out = Output(json=json, quiet=quiet)
    with open_memory(store, model, keys=keys) as memory:
        answerer = open_answerer(reader, model)
        found = find(
            memory,
            question,
            k=k,
            **scope_words(user, agent, session),
            where=where,
            since=since,
            until=until,
        )
        answer = answerer.answer(question, found)
        out.emit(
            json=lambda: {
                "question": question,
                "answer": answer.text,
                "memories": [_plain(hit, answer) for hit in answer.hits],
                "left_out": answer.left_out,
            },
            human=lambda: _shown(answer),
            quiet=lambda: () if answer.text is None else (answer.text,),
        )
        if answer.left_out:
            out.note(f"{views.number(answer.left_out, 'memory', 'memories')} did not fit")


def _plain(hit: Hit, answer: Answer) -> dict[str, Any]:
    return {**hit.to_dict(), "read_as": "text" if hit.id in answer.as_text else "vectors"}


def _shown(answer: Answer) -> RenderableType:
    if answer.text is None:
        return Text("nothing found", style="dim")
    table = Table("id", "when", "who", "text", box=None, header_style="dim", pad_edge=False)
    for hit in answer.hits:
        table.add_row(
            str(hit.id),
            f"{hit.created_at:%Y-%m-%d}",
            Text(safe(views.who(hit))),
            Text(views.short(hit.text)),
        )
    return Group(Text(safe(answer.text)), Text(), table)
