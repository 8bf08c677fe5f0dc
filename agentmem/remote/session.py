"""A conversation that remembers in a service; see `agentmem.Session`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from agentmem.chat.session import Session
from agentmem.context.recall import Recall
from agentmem.ingest.checks import MAX_CHARS
from agentmem.ingest.normalize import Normalized
from agentmem.remote.content import as_json
from agentmem.results import Receipt
from agentmem.workers import Later
from agentmem_storage.records import Scope

Send = Callable[[Sequence[Any], Any], Receipt]


class RemoteSession(Session):
    """One conversation; made by `RemoteMemory.session`.

    What is recalled is packed here, with ``count_tokens`` if it is given. What of the messages is
    new is found out by the service.
    """

    def __init__(
        self, recall: Callable[..., Recall], send: Send, *, scope: Scope, later: Later
    ) -> None:
        """Make a session.

        Args:
            recall: `RemoteMemory.recall`, in the scope to recall from.
            send: Sends messages and a reply, as JSON, to be stored.
            scope: Where they are stored.
            later: Sends what nobody waits for.
        """
        super().__init__(recall, _never, scope=scope, max_chars=MAX_CHARS, later=later)
        self._send = send

    def _storing(self, given: list[Any], reply: object) -> tuple[Callable[[], Receipt], int]:
        answer = reply if reply is None or isinstance(reply, str) else as_json(reply)
        messages = as_json(given)
        return partial(self._send, messages, answer), len(repr((messages, answer)))


def _never(_: Normalized) -> Receipt:
    raise AssertionError("the service normalizes what it stores")
