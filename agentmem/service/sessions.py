"""Who has logged in to the page: a random id in a cookie stands for a token."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from time import monotonic

from agentmem.service.tokens import Token

COOKIE = "agentmem_session"
LASTS_S = 12 * 3600
MOST = 1000


class Sessions:
    """Sessions of the page, in memory: they end with the process. For one thread."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        # In the order in which they were begun, so also in that in which they end.
        self._tokens: dict[str, tuple[Token, float]] = {}

    def begin(self, token: Token) -> str:
        """A new session; of more than `MOST`, the oldest ends."""
        while len(self._tokens) >= MOST:
            del self._tokens[next(iter(self._tokens))]
        id = secrets.token_urlsafe(32)
        self._tokens[id] = token, self._clock() + LASTS_S
        return id

    def find(self, id: str) -> Token | None:
        """Whose session it is; None if it has ended, or never was."""
        token, until = self._tokens.get(id, (None, 0.0))
        if token is not None and until <= self._clock():
            self.end(id)
            return None
        return token

    def end(self, id: str) -> None:
        """End a session, if there is one."""
        self._tokens.pop(id, None)
