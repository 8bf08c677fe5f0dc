"""The command ask: answers a question from memory."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import RenderableType

from agentmem_cli.answering import (
    LlmOption,
    RatioOption,
    ReadAsOption,
    ReaderOption,
    answer_to_dict,
    open_answerer,
    show_answer,
    show_found,
)
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
    local_now,
    scope_ids,
)
from agentmem_cli.output import Output


def ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="In plain words.")],
    k: LimitOption = 8,
    llm: LlmOption = None,
    reader: ReaderOption = None,
    read_as: ReadAsOption = None,
    ratio: RatioOption = None,
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
    """Answer a question from memory, and show the memories that the answer drew on.

    A small language model on this machine reads the memories found (install it once with
    `agentmem reader install`); --llm names another. Without either, the memories are shown in
    full, and where probably none of them fits, it says so. What cannot be answered from them is
    not guessed. Questions stored by `agentmem chat` are excluded.

    --quiet prints only the answer, or the memories' texts where nothing answers.
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
            now=local_now(),
        )
        answerer, missing = open_answerer(llm, reader, read_as, ratio) if found else (None, "")
        answer = answerer.answer(question, found) if answerer else None

        def human() -> RenderableType:
            if answer is not None:
                return show_answer(answer, found)
            return show_found(found)

        def lines() -> list[str]:
            if answer is not None:
                return [answer.text] if answer.text is not None else []
            return [hit.text for hit in found]

        out.emit(json=lambda: answer_to_dict(question, answer, found), human=human, quiet=lines)
        if missing:
            out.note(missing)
