"""A service in this process, asked without a socket; and tokens for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
