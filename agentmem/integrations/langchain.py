"""A LangChain retriever over a memory.

::

    from agentmem import Memory
    from agentmem.integrations.langchain import AgentMemRetriever

    retriever = AgentMemRetriever(memory=Memory("notes").scoped(user_id="ana"), k=4)
    retriever.invoke("when is my train?")[0].page_content
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agentmem.errors import MissingExtraError
from agentmem.integrations.documents import document_metadata
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


class AgentMemRetriever(BaseRetriever):  # type: ignore[misc]
    """Recalls memories as documents, best first.

    The text of a document is that of the memory, its metadata are those that the caller attached to
    it, and under ``"agentmem"`` all else that is known of it: ``id``, ``role``, ``name``,
    ``title``, ``created_at`` (ISO 8601), the scope, ``score`` and ``relevance``; see
    `agentmem.Hit`. ``ainvoke`` recalls in a thread.

    Attributes:
        memory: An open `Memory`, which the caller closes. A scoped handle, such as
            ``mem.scoped(user_id="ana")``, retrieves from that scope.
        k: Maximum number of documents.
        where: A filter, as of `Memory.recall`.
        min_relevance: Only memories whose relevance is at least this, 0 to 1.
    """

    memory: Memory
    k: int = 8
    where: Mapping[str, Any] | None = None
    min_relevance: float | None = None

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Any]:
        hits = self.memory.recall(
            query, k=self.k, where=self.where, min_relevance=self.min_relevance
        )
        return [_document(hit) for hit in hits]


def _document(hit: Hit) -> Any:
    return Document(hit.text, id=str(hit.id), metadata=document_metadata(hit))
