"""Chroma: one collection on disk, with conversations separated by a metadata filter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import chromadb
from chromadb.config import Settings

from benchmarks.sidebyside.baselines.encoder import PACKAGE, Encoder
from benchmarks.sidebyside.data import NumberedTurn


class Chroma:
    """Chroma's defaults except for the distance: cosine, which its documentation uses for text."""

    packages: ClassVar[tuple[str, ...]] = ("chromadb", PACKAGE)
    as_vectors: ClassVar[bool] = False

    def __init__(self, folder: Path) -> None:
        """Create the collection; embeddings come from the shared encoder."""
        self._encoder = Encoder()
        client = chromadb.PersistentClient(str(folder), Settings(anonymized_telemetry=False))
        self._collection = client.create_collection(
            "turns", embedding_function=None, metadata={"hnsw:space": "cosine"}
        )

    def add(self, conversation: str, turns: Sequence[NumberedTurn]) -> None:
        """Add a conversation in one call."""
        texts = [turn.text for turn in turns]
        self._collection.add(
            ids=[str(turn.number) for turn in turns],
            embeddings=self._encoder.texts(texts),
            documents=texts,
            metadatas=[{"conversation": conversation}] * len(turns),
        )

    def search(self, question: str, k: int, *, conversation: str | None) -> list[int]:
        """The turns nearest to the question."""
        found = self._collection.query(
            query_embeddings=[self._encoder.query(question)],
            n_results=k,
            where=None if conversation is None else {"conversation": conversation},
            include=[],
        )
        return [int(id) for id in found["ids"][0]]

    def close(self) -> None:
        """Nothing to flush: every write is on disk when it returns."""
