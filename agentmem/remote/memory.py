"""`RemoteMemory`; see `agentmem.remote`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from agentmem.chat.session import Session
from agentmem.chat.tools import ToolFormat, Tools
from agentmem.remote.client import Client
from agentmem.remote.reading import RemoteReading
from agentmem.remote.session import RemoteSession
from agentmem.remote.upkeep import RemoteUpkeep
from agentmem.remote.writing import RemoteWriting
from agentmem.scopes import ANY, Binding, ReadId, check_require
from agentmem.workers import Later
from agentmem_storage.records import ANY_SCOPE, UNSET


class RemoteMemory(RemoteReading, RemoteWriting, RemoteUpkeep):
    """A memory that a service holds, with the verbs of `Memory`.

    ::

        with RemoteMemory("http://127.0.0.1:7717", token="...") as mem:
            mem.add("Booked the 9:40 to Lyon", user_id="ana")

    What is about the machine of the store stays there: `backup`, `gc`, `reindex`, `prepare` and
    `migrate`. Hits and chunks are complete values, so `Recall.pack` works as
    usual, but ``policy="auto"`` does not.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout_s: float = 60.0,
        require: Sequence[str] = (),
    ) -> None:
        """Prepare to ask a service; nothing is sent yet.

        Args:
            url: Of the service, such as ``http://127.0.0.1:7717``.
            token: A token of the service. One that is bound to a scope does what a scoped handle
                does.
            timeout_s: How long to wait for each answer, in seconds.
            require: As in `Memory`.

        Raises:
            InputError: ``url`` is none of HTTP, the token cannot be sent, ``timeout_s`` is not
                positive, or a required id is unknown.
        """
        self._binding = Binding(required=check_require(require))
        self._client = Client(url, token, timeout_s)
        self._owns_client = True
        self._later = Later()

    def __getstate__(self) -> dict[str, Any]:
        # A pickle has the token, and where the service is, but no connection and no thread.
        return {**self.__dict__, "_later": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Also a scoped handle has connections of its own there.
        self.__dict__.update(state, _owns_client=True)
        self._later = Later()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        bound = f", {self._binding}" if self._binding.scope != ANY_SCOPE else ""
        return f"RemoteMemory({self._client.url!r}{bound})"

    def close(self) -> None:
        """Close the connections, once all that sessions were given is sent.

        Closing a scoped handle does nothing.
        """
        if self._owns_client:
            self._later.finish()
            self._client.close()

    def scoped(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> RemoteMemory:
        """See `Memory.scoped`. Against others, only a token that is bound protects."""
        binding = self._binding.narrowed(user_id, agent_id, session_id)
        handle = object.__new__(RemoteMemory)
        handle.__dict__.update(self.__dict__)
        handle._binding = binding
        handle._owns_client = False
        return handle

    def session(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> Session:
        """See `Memory.session`."""
        scope = self._binding.conversing(user_id, agent_id, session_id)
        others = ANY if self._binding.scope.session_id is None else UNSET
        recall = partial(self.recall, user_id=user_id, agent_id=agent_id, session_id=others)
        send = partial(self._observe, scope)
        return RemoteSession(recall, send, scope=scope, later=self._later)

    def as_tools(self, format: ToolFormat = "openai") -> Tools:
        """See `Memory.as_tools`."""
        return Tools(self, format)
