"""The command mcp: an agent's host talks to a store through the Model Context Protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agentmem_cli.key_file import key_file
from agentmem_cli.options import (
    DEFAULT_EMBEDDER,
    DEFAULT_STORE,
    AgentOption,
    EmbedderOption,
    ModelOption,
    SessionOption,
    StoreOption,
    UserOption,
    scope_ids,
)

if TYPE_CHECKING:
    from agentmem.memory import Memory


def mcp(
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    user: UserOption = None,
    agent: AgentOption = None,
    session: SessionOption = None,
    http: Annotated[
        int | None,
        typer.Option(
            "--http",
            metavar="PORT",
            min=0,
            max=65535,
            help="Serve HTTP on this port of the loopback interface, at /mcp.",
        ),
    ] = None,
) -> None:
    """Serve a store to the host of an agent: the tools remember, recall, forget and more.

    Without --http, it talks to the host that started it through its standard input and output.
    Every client reads and writes the scope given here, and no other.
    """
    from agentmem.integrations.mcp import memory_server

    key = key_file()  # here, for it is opened in another thread

    def open_memory() -> Memory:
        from agentmem.memory import Memory

        return Memory(store, model=model, embedder=embedder, key=key)

    server = memory_server(open_memory, **scope_ids(user, agent, session))
    if http is None:
        server.run("stdio")
    else:
        server.run("streamable-http", port=http)
