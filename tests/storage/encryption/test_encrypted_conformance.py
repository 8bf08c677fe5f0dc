"""The conformance suite, run on encrypted stores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, DurableStoreConformance


class TestEncryptedFolder(DurableStoreConformance):
    open_options: Mapping[str, Any] = {"key": bytes(range(32))}

    def open_store(self, place: Path) -> Store:
        return Store.open(
            place / "store",
            model=MODEL,
            embedding_dims=EMBEDDING_DIMS,
            index="exact",
            **self.open_options,
        )
