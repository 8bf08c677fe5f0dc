"""Qdrant in its local mode, which keeps a collection in the process and in one file."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models

from benchmarks.vectorstores.rows import Batch, Rows

_NAME = "rows"


class Qdrant:
    """Qdrant's own server is another program; what a library can bring along is this."""

    packages: ClassVar[tuple[str, ...]] = ("qdrant-client",)

    def __init__(self, folder: Path, rows: Rows) -> None:
        """Create the collection, or open it."""
        # It advises against more than 20,000 points; that is what the comparison shows.
        warnings.filterwarnings("ignore", "Local mode is not recommended")
        self._client = QdrantClient(path=str(folder))
        if not self._client.collection_exists(_NAME):
            vectors = models.VectorParams(size=rows.dims, distance=models.Distance.COSINE)
            self._client.create_collection(_NAME, vectors_config=vectors)

    def add(self, batch: Batch) -> None:
        """Add in one call."""
        points = [
            models.PointStruct(
                id=batch.first + place,
                vector=vector,
                payload={"user": batch.user, "number": number},
            )
            for place, (vector, number) in enumerate(
                zip(batch.vectors.tolist(), batch.numbers, strict=True)
            )
        ]
        self._client.upsert(_NAME, points)

    def finish(self) -> None:
        """Nothing: the local mode has no index."""

    def search(
        self, vector: NDArray[np.float32], k: int, *, user: str | None, number: int | None
    ) -> Sequence[int]:
        """Search all, or with a filter."""
        wanted: list[models.Condition] = []
        if user is not None:
            wanted.append(models.FieldCondition(key="user", match=models.MatchValue(value=user)))
        if number is not None:
            value = models.MatchValue(value=number)
            wanted.append(models.FieldCondition(key="number", match=value))
        found = self._client.query_points(
            _NAME,
            query=vector.tolist(),
            query_filter=models.Filter(must=wanted) if wanted else None,
            limit=k,
            with_payload=False,
        )
        return [int(point.id) for point in found.points]

    def close(self) -> None:
        """Close its file."""
        self._client.close()
