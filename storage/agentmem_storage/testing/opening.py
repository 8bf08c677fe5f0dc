"""How a conformance test opens the store that it is about, and what the tests share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from agentmem_storage.records import ChunkRecord, NewSource, Scope, Written
from agentmem_storage.store import Store
from agentmem_storage.testing.sources import make_source


class OpensStores:
    """What opens the stores; see `agentmem_storage.testing.conformance`.

    Attributes:
        open_options: What a store of this kind needs to be opened, besides its model and dims.
    """

    open_options: Mapping[str, Any] = {}

    def open_store(self, place: Path) -> Store:
        """Open the store at a path with `MODEL` and `EMBEDDING_DIMS`, creating it if necessary."""
        raise NotImplementedError


def add_all(store: Store, texts: Sequence[str], scope: Scope) -> list[int]:
    """Write one-chunk messages; return the ids of their chunks."""
    written = store.add([make_source(text) for text in texts], scope)
    return [chunk_id for one in written for chunk_id in one.chunk_ids]


def require_same_chunks(
    records: Sequence[ChunkRecord], source: NewSource, written: Written
) -> None:
    """Check that chunks are what was written."""
    assert [record.id for record in records] == list(written.chunk_ids)
    for ordinal, (record, chunk) in enumerate(zip(records, source.chunks, strict=True)):
        assert record.source_id == written.source_id
        assert record.ordinal == ordinal
        assert (record.start, record.end, record.tokens) == (chunk.start, chunk.end, chunk.tokens)
        assert (record.patch, record.fidelity) == (chunk.patch, chunk.fidelity)
        assert (record.text_hash, record.text) == (chunk.text_hash, chunk.text)
        assert (record.latents, record.positions) == (chunk.latents, chunk.positions)
        assert record.embedding is not None
        # Embeddings are kept in int8.
        np.testing.assert_allclose(record.embedding, chunk.embedding, atol=0.01)


@contextmanager
def raises(error: type[Exception]) -> Iterator[None]:
    """Like ``pytest.raises``, so that this package does not depend on pytest."""
    try:
        yield
    except error:
        return
    raise AssertionError(f"{error.__name__} was not raised")
