"""The conformance suite, run on encrypted stores."""

from __future__ import annotations

from pathlib import Path

from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, DurableStoreConformance

KEY = bytes(range(32))


class TestEncryptedFolder(DurableStoreConformance):
    def open_store(self, place: Path) -> Store:
        return Store.open(
            place / "store", model=MODEL, embedding_dims=EMBEDDING_DIMS, index="exact", key=KEY
        )
