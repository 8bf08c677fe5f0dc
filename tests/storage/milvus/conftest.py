"""What all tests of stores whose index is in Milvus have in common."""

from __future__ import annotations

import pytest

from agentmem_storage.sync import milvus as sync_milvus
from agentmem_storage.sync import milvus_writer


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a small store do what a large one does."""
    monkeypatch.setattr(sync_milvus, "SCORED", 0)
    monkeypatch.setattr(sync_milvus, "BEHIND", 8)
    monkeypatch.setattr(milvus_writer, "_BATCH", 16)
