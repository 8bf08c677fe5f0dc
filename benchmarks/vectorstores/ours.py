"""agentmem's store: rows, words, latents, and the vector index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.records import Scope, Selection
from agentmem_storage.store import Store
from benchmarks.vectorstores.rows import Batch, Rows

_MODEL = "embeddings of the comparison"


class Ours:
    """The layer below `agentmem.Memory`, which takes what models have made of a text."""

    packages: ClassVar[tuple[str, ...]] = ("faiss-cpu", "numpy", "sqlalchemy")

    def __init__(self, folder: Path, rows: Rows) -> None:
        """Create the store, or open it."""
        self._rows = rows
        self._store = Store.open(folder / "store", model=_MODEL, embedding_dims=rows.dims)

    def add(self, batch: Batch) -> None:
        """Add the turns of a user, each in the scope of its session, in one transaction."""
        turns = self._rows.turns_of(batch.first, batch.first + len(batch.vectors))
        sources = [
            replace(turn.source, chunks=(replace(turn.source.chunks[0], embedding=vector),))
            for turn, vector in zip(turns, batch.vectors, strict=True)
        ]
        scopes = [Scope(batch.user, None, turn.session) for turn in turns]
        written = self._store.add(sources, scopes)
        # A row is found by its chunk's id, which follows from its place.
        assert [one.chunk_ids for one in written] == [
            (batch.first + place + 1,) for place in range(len(turns))
        ]

    def finish(self) -> None:
        """Part the embeddings among lists, which else a process would do that searches often."""
        self._store.rebuild_index()

    def search(
        self, vector: NDArray[np.float32], k: int, *, user: str | None, number: int | None
    ) -> Sequence[int]:
        """Search a scope, or by metadata."""
        where = None if number is None else {"number": number}
        selection = Selection(scope=Scope(user_id=user), where=where)
        ids: list[int] = self._store.search_vectors(vector, k, selection).ids.tolist()
        return [id - 1 for id in ids]

    def close(self) -> None:
        """Close the store, which writes the cache of its index."""
        self._store.close()
