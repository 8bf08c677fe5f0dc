"""The command chat: a conversation in the terminal that remembers."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import suppress

from rich.text import Text

from agentmem_cli.conversation import HELP, Conversation
from agentmem_cli.opening import open_memory
from agentmem_cli.options import (
    DEFAULT_EMBEDDER,
    DEFAULT_STORE,
    AgentOption,
    EmbedderOption,
    ModelOption,
    ReadOption,
    SessionOption,
    StoreOption,
    UserOption,
    scope_words,
)
from agentmem_cli.output import Output


def chat(
    k: ReadOption = 3,
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    user: UserOption = None,
    agent: AgentOption = None,
    session: SessionOption = None,
) -> None:
    """Tell things and ask about them, now or another day; the store is made if there is none.

    A line that ends with "?" or begins with a question word (who, what, when, where, which, why,
    how) is answered with the memories that fit it best; no reader is installed that could put an
    answer into words. Every other line is noted. What you say is stored; a line that is a question
    and nothing else is stored too, but answers no later one.

    /memories lists the newest memories, /forget ID deletes one for good, /help tells the rest.
    """
    out = Output()
    with open_memory(store, model, embedder=embedder, create=True) as memory:
        out.say(Text(HELP, style="dim"))
        scope = scope_words(user, agent, session)
        conversation = Conversation(memory, out, scope=scope, k=k)
        for line in _lines(out):
            if not conversation.hear(line):
                return


def _lines(out: Output) -> Iterator[str]:
    """What a person types, line by line, until the end of input or Ctrl-C."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        # Bytes that are no UTF-8 are refused where the line is stored, and end nothing.
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
                out.say(Text())  # What the shell says next begins a line of its own.
            return
