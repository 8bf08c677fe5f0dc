"""A Haystack component that retrieves from a memory.

::

    from haystack import Pipeline

    from agentmem import Memory
    from agentmem.integrations.haystack import AgentMemRetriever

    pipeline = Pipeline()
    pipeline.add_component("retriever", AgentMemRetriever(Memory("notes").scoped(user_id="ana")))
    pipeline.run({"retriever": {"query": "when is my train?"}})["retriever"]["documents"]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentmem.chat.questions import answers_only
from agentmem.errors import MissingExtraError
from agentmem.integrations.documents import document_metadata
from agentmem.integrations.memories import check_memory
from agentmem.memory import Memory

try:
    from haystack import Document, component
except ImportError as error:
    raise MissingExtraError(
        "AgentMemRetriever needs haystack-ai: pip install 'latent-agentmem[haystack]'",
        extra="haystack",
    ) from error


@component
class AgentMemRetriever:
    """Recalls memories as documents, best first, for `haystack.Pipeline`.

    The content of a document is the text of a memory, its score is the hit's, its metadata are
    those that the caller attached to it, and under ``"agentmem"`` all else that is known of it:
    ``id``, ``role``, ``name``, ``title``, ``created_at`` (ISO 8601), the scope and ``relevance``;
    see `agentmem.Hit`.
    """

    def __init__(
        self,
        memory: Memory,
        *,
        k: int = 8,
        where: Mapping[str, Any] | None = None,
        min_relevance: float | None = None,
    ) -> None:
        """A retriever over a memory.

        Args:
            memory: An open `Memory` or `RemoteMemory`, which the caller closes. A scoped handle,
                such as ``mem.scoped(user_id="ana")``, retrieves from that scope.
            k: Maximum number of documents.
            where: A filter, as of `Memory.recall`.
            min_relevance: Only memories whose relevance is at least this, 0 to 1.

        Raises:
            InputError: ``memory`` is none.
        """
        self.memory, self.k = check_memory(memory), k
        self.where, self.min_relevance = where, min_relevance

    @component.output_types(documents=list[Document])  # type: ignore[untyped-decorator]
    def run(self, query: str, top_k: int | None = None) -> dict[str, list[Any]]:
        """Recall what fits a query, but for what was only asked in a conversation.

        Args:
            query: A question or keywords.
            top_k: Maximum number of documents; None for ``k``.

        Raises:
            InputError: as `Memory.recall`.
            FilterError: likewise.
        """
        hits = self.memory.recall(
            query,
            k=self.k if top_k is None else top_k,
            where=answers_only(self.where),
            min_relevance=self.min_relevance,
        )
        return {
            "documents": [
                Document(
                    id=str(hit.id), content=hit.text, meta=document_metadata(hit), score=hit.score
                )
                for hit in hits
            ]
        }
