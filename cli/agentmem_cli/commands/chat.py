"""The command chat: an interactive conversation with a memory."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import suppress

from rich.text import Text

from agentmem_cli.answering import (
    LlmOption,
    RatioOption,
    ReadAsOption,
    ReaderOption,
    open_answerer,
)
from agentmem_cli.content import open_stdin
from agentmem_cli.conversation import HELP, Conversation
from agentmem_cli.open_memory import open_memory
from agentmem_cli.options import (
    DEFAULT_EMBEDDER,
    DEFAULT_STORE,
    AgentOption,
    EmbedderOption,
    LimitOption,
    ModelOption,
    SessionOption,
    StoreOption,
    UserOption,
    scope_ids,
)
from agentmem_cli.output import Output


def chat(
    k: LimitOption = 8,
    llm: LlmOption = None,
    reader: ReaderOption = None,
    read_as: ReadAsOption = None,
    ratio: RatioOption = None,
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    user: UserOption = None,
    agent: AgentOption = None,
    session: SessionOption = None,
) -> None:
    """Store statements and ask about them later; the store is created if it does not exist.

    A line that ends with "?" or starts with a question word (who, what, when, where, which, why,
    how) or "tell me where" is answered from the memories that match it best, by a small language
    model on this machine (install it once with `agentmem reader install`) or the one that --llm
    names. Without either, those memories are shown. Every line is stored, but one that is only a
    question is not used to answer others.

    /memories lists the newest memories, /forget ID deletes one permanently, /help shows more.
    """
    out = Output()
    scope = scope_ids(user, agent, session)
    open_stdin()  # an error now rather than after the models are loaded
    with open_memory(store, model, embedder=embedder, create=True) as memory:
        answerer, missing = open_answerer(llm, reader, read_as, ratio)
        out.say(Text(HELP, style="dim"))
        if missing:
            out.note(missing)
        conversation = Conversation(memory, out, answerer=answerer, scope=scope, k=k)
        for line in _lines(out):
            if not conversation.handle(line):
                return


def _lines(out: Output) -> Iterator[str]:
    """Lines of input, until end of file or Ctrl-C."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        # Invalid UTF-8 is rejected when the line is stored, without ending the conversation.
        sys.stdin.reconfigure(errors="surrogateescape")
    prompt = ""
    if sys.stdin.isatty():
        with suppress(ImportError):
            import readline  # noqa: F401  # line editing and history for input()
        prompt = "> "
    while True:
        try:
            yield input(prompt)
        except (EOFError, KeyboardInterrupt):
            if prompt:
                out.say(Text())  # So that the shell prompt starts on a new line.
            return
