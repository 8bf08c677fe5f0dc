"""LangGraph's long-term memory in agentmem: a complete `BaseStore`.

::

    from agentmem import Memory
    from agentmem.integrations.langgraph import AgentMemStore

    store = AgentMemStore(Memory("notes"))
    store.put(("users", "ana@example.org"), "diet", {"text": "Ana eats no meat."})
    store.search(("users",), query="what does Ana eat?")[0].value

An item is one document, with its namespace and key as the external id: its text is what `search`
finds it by, and its metadata hold the value, under ``langgraph_value``. `Memory.recall` finds items
like any other memory, and the store sees none but its own.
"""

from __future__ import annotations

from agentmem.errors import MissingExtraError

try:
    import langgraph.store.base  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        "AgentMemStore needs langgraph: pip install 'latent-agentmem[langgraph]'", extra="langgraph"
    ) from error

from agentmem.integrations.langgraph.names import NamespaceError
from agentmem.integrations.langgraph.store import AgentMemStore

__all__ = ["AgentMemStore", "NamespaceError"]
