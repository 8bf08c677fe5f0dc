"""The shared encoder as LangChain's `Embeddings`, which mem0 and LangGraph take."""

from __future__ import annotations

from langchain_core.embeddings import Embeddings

from benchmarks.sidebyside.baselines.encoder import Encoder


class LangChainEncoder(Embeddings):  # type: ignore[misc]
    """Lists in place of arrays."""

    def __init__(self) -> None:
        self._encoder = Encoder()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embeddings of texts."""
        found: list[list[float]] = self._encoder.texts(texts).tolist()
        return found

    def embed_query(self, text: str) -> list[float]:
        """Embedding of one text."""
        found: list[float] = self._encoder.query(text).tolist()
        return found
