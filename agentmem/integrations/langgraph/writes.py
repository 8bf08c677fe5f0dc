"""Puts and deletions of items in a `Memory`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from agentmem.integrations.langgraph.items import Put
from agentmem.types import Document

if TYPE_CHECKING:
    from agentmem.memory import Memory

# Ids that one filter lists.
_MAX_IDS = 1000


def write(memory: Memory, puts: Mapping[str, Put]) -> None:
    """Store and delete items, by their external ids; those of one time to live at once."""
    by_life: dict[timedelta | None, list[Document]] = {}
    for put in puts.values():
        if put.document is not None:
            by_life.setdefault(put.life, []).append(put.document)
    for life, documents in by_life.items():
        memory.add(documents, ttl=life)
    gone = [put.id for put in puts.values() if put.document is None]
    for first in range(0, len(gone), _MAX_IDS):
        memory.forget(where={"external_id": {"in": gone[first : first + _MAX_IDS]}})
