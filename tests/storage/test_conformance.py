"""The conformance suite, run on every kind of location and index."""

from __future__ import annotations

from pathlib import Path

from agentmem_storage.index import IndexKind
from agentmem_storage.store import Store
from agentmem_storage.testing import (
    EMBEDDING_DIMS,
    MODEL,
    DurableStoreConformance,
    StoreConformance,
)


class TestFolderExact(DurableStoreConformance):
    index: IndexKind = "exact"

    def location(self, place: Path) -> str:
        return str(place / "store")

    def open_store(self, place: Path) -> Store:
        return Store.open(
            self.location(place), model=MODEL, embedding_dims=EMBEDDING_DIMS, index=self.index
        )


class TestFolderFaiss(TestFolderExact):
    index = "faiss"


class TestUrlExact(TestFolderExact):
    def location(self, place: Path) -> str:
        return f"sqlite:///{place}/notes.db"


class TestUrlFaiss(TestUrlExact):
    index = "faiss"


class TestMemoryExact(StoreConformance):
    index: IndexKind = "exact"

    def open_store(self, place: Path) -> Store:
        return Store.open(":memory:", model=MODEL, embedding_dims=EMBEDDING_DIMS, index=self.index)


class TestMemoryFaiss(TestMemoryExact):
    index = "faiss"
