"""A service in this process, asked without a socket; and tokens for it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.testclient import TestClient

from agentmem import Memory
from agentmem.service.app import create_app
from agentmem.service.settings import Settings
from agentmem.service.tokens import Token, Tokens, digest

HOST = "http://127.0.0.1:7717"
OPERATOR, ANA, BO = ("operator-" * 5, "ana-" * 10, "bo-" * 12)


def tokens() -> Tokens:
    """A token for everything, one for Ana, and one for an agent of Bo."""
    return Tokens(
        (
            Token("operator", digest(OPERATOR)),
            Token("ana", digest(ANA), (("user_id", "ana"),)),
            Token("bo", digest(BO), (("user_id", "bo"), ("agent_id", "x"))),
        )
    )


@contextmanager
def client(memory: Memory, *, secret: str | None = None, **settings: Any) -> Iterator[TestClient]:
    """A client of a service over a memory."""
    app = create_app(memory, Settings(**settings))
    headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    with TestClient(app, base_url=HOST, headers=headers, follow_redirects=False) as made:
        yield made


@contextmanager
def running(memory: Memory, settings: Settings | None = None) -> Iterator[str]:
    """The URL of a service that a thread runs on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(create_app(memory, settings), log_level="warning", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
