"""Chroma: one collection on disk, with user and number as metadata."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import chromadb
import numpy as np
from chromadb.config import Settings
from numpy.typing import NDArray

from benchmarks.vectorstores.rows import Batch, Rows


class Chroma:
    """Chroma's defaults except for the distance: cosine, which its documentation uses for text."""

    packages: ClassVar[tuple[str, ...]] = ("chromadb",)

    def __init__(self, folder: Path, rows: Rows) -> None:
        """Create the collection, or open it."""
        client = chromadb.PersistentClient(str(folder), Settings(anonymized_telemetry=False))
        self._most = client.get_max_batch_size()
        self._collection = client.get_or_create_collection(
            "rows", embedding_function=None, metadata={"hnsw:space": "cosine"}
        )

    def add(self, batch: Batch) -> None:
        """Add in one call, or as few as it accepts."""
        metadata = [{"user": batch.user, "number": number} for number in batch.numbers]
        for first in range(0, len(metadata), self._most):
            part = slice(first, first + self._most)
            vectors = batch.vectors[part]
            start = batch.first + first
            self._collection.add(
                ids=[str(row) for row in range(start, start + len(vectors))],
                embeddings=vectors,
                metadatas=metadata[part],
            )

    def finish(self) -> None:
        """Nothing: rows are in the index when `add` returns."""

    def search(
        self, vector: NDArray[np.float32], k: int, *, user: str | None, number: int | None
    ) -> Sequence[int]:
        """Search all, or by metadata."""
        where: dict[str, Any] | None = None
        if user is not None:
            where = {"user": user}
        elif number is not None:
            where = {"number": number}
        found = self._collection.query(
            query_embeddings=[vector], n_results=k, where=where, include=[]
        )
        return [int(id) for id in found["ids"][0]]

    def close(self) -> None:
        """Nothing to flush: every write is on disk when it returns."""
