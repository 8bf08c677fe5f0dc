"""A LangChain retriever over a memory.

::

    from agentmem import Memory
    from agentmem.integrations.langchain import AgentMemRetriever

    retriever = AgentMemRetriever(memory=Memory("notes").scoped(user_id="ana"), k=4)
    retriever.invoke("when is my train?")[0].page_content
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, PlainValidator

from agentmem.chat.questions import answers_only
from agentmem.errors import MissingExtraError
from agentmem.integrations.documents import document_metadata
from agentmem.integrations.memories import check_memory
from agentmem.memory import Memory

try:
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
except ImportError as error:
    raise MissingExtraError(
        "AgentMemRetriever needs langchain-core: pip install 'latent-agentmem[langchain]'",
        extra="langchain",
    ) from error

if TYPE_CHECKING:
    from agentmem.context.hits import Hit


# What may be given to a single call.
_OPTIONS = ("k", "where", "min_relevance")


class AgentMemRetriever(BaseRetriever):  # type: ignore[misc]
    """Recalls memories as documents, best first, but for what was only asked in a conversation.

    The text of a document is that of the memory, its metadata are those that the caller attached to
    it, and under ``"agentmem"`` all else that is known of it: ``id``, ``role``, ``name``,
    ``title``, ``created_at`` (ISO 8601), the scope, ``score`` and ``relevance``; see
    `agentmem.Hit`. ``ainvoke`` recalls in a thread.

    Attributes:
        memory: An open `Memory` or `RemoteMemory`, which the caller closes. A scoped handle,
            such as ``mem.scoped(user_id="ana")``, retrieves from that scope.
        k: Maximum number of documents.
        where: A filter, as of `Memory.recall`.
        min_relevance: Only memories whose relevance is at least this, 0 to 1.

    ``k``, ``where`` and ``min_relevance`` may also be given to ``invoke``, for that call.
    """

    model_config = ConfigDict(extra="forbid")

    memory: Annotated[Memory, PlainValidator(check_memory)]
    k: int = 8
    where: Mapping[str, Any] | None = None
    min_relevance: float | None = None

    def _get_relevant_documents(self, query: str, *, run_manager: Any, **given: Any) -> list[Any]:
        options = {name: getattr(self, name) for name in _OPTIONS}
        if unknown := given.keys() - options.keys():
            raise TypeError(f"no argument {min(unknown)!r}: give only {', '.join(_OPTIONS)}")
        options |= given
        options["where"] = answers_only(options["where"])
        return [_document(hit) for hit in self.memory.recall(query, **options)]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: Any, **given: Any
    ) -> list[Any]:
        work = partial(self._get_relevant_documents, query, run_manager=run_manager, **given)
        return await asyncio.to_thread(work)


def _document(hit: Hit) -> Any:
    return Document(hit.text, id=str(hit.id), metadata=document_metadata(hit))
