"""What every verb of a remote memory works with."""

from __future__ import annotations

from typing import Any

from agentmem.remote.client import Client
from agentmem.remote.payload import scope_ids
from agentmem.scopes import ANY, SCOPE_IDS, Binding, ReadId


class RemoteHandle:
    """A service that is asked, and the scope that it is asked for."""

    _binding: Binding
    _client: Client

    def _reading(self, user_id: ReadId, agent_id: ReadId, session_id: ReadId) -> dict[str, Any]:
        """The scope that a call reads, as it travels."""
        scope = self._binding.reading(user_id, agent_id, session_id)
        ids = zip(SCOPE_IDS, (user_id, agent_id, session_id), strict=True)
        wide = [name for name, id in ids if id is ANY]
        return scope_ids(scope) | ({"any_id": wide} if wide else {})
