"""The storage of CrewAI's memory in agentmem, with the embedder that belongs to it.

::

    from crewai import Crew
    from crewai.memory import Memory as CrewMemory

    from agentmem import Memory
    from agentmem.integrations.crewai import AgentMemStorage

    storage = AgentMemStorage(Memory("notes").scoped(agent_id="research"))
    crew = Crew(..., memory=CrewMemory(storage=storage, embedder=storage.embed))

CrewAI searches by vectors of its embedder alone. `AgentMemStorage.embed` makes them on this
machine, and the storage knows the texts of those it made lately, so that a search has all that
`agentmem.Memory.recall` has. Which memories to keep is still decided by CrewAI's language model.
"""

from __future__ import annotations

from agentmem.errors import MissingExtraError

try:
    import crewai.memory.types  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        "AgentMemStorage needs crewai: pip install 'latent-agentmem[crewai]'", extra="crewai"
    ) from error

from agentmem.integrations.crewai.storage import AgentMemStorage

__all__ = ["AgentMemStorage"]
