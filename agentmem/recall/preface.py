"""What the key of a chunk and the reranker know of it beside its text."""

from __future__ import annotations

from agentmem.models.base import Tokenizer
from agentmem.types import Part
from agentmem_storage.records import LatentsRecord, SourceRecord

# Tokens: of a longer title the beginning, so that the chunk itself has the room.
_MOST = 32


def preface(source: Part | SourceRecord | LatentsRecord) -> str:
    """What stands before a chunk where its key is made and where it is reranked; may be empty."""
    if source.name:
        return f"{source.name}: "
    return f"{source.title}\n" if source.title else ""


def preface_ids(told: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    """Token ids of a preface."""
    return tuple(tokenizer.encode(told)[:_MOST])
