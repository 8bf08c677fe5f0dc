"""What readers have made of memories, kept beside them."""

from __future__ import annotations

from dataclasses import dataclass

from agentmem_storage.records.reading import SourceRecord


@dataclass(frozen=True, slots=True, eq=False)
class NewStates:
    """A reader's states of one chunk, to be kept.

    Attributes:
        chunk_id: The chunk.
        source: Its source, as it was when they were made.
        text_hash: SHA-256 of its text.
        digest: 32 bytes, of all that the states were made of.
        packed: The states, as the reader packs them.
    """

    chunk_id: int
    source: SourceRecord
    text_hash: bytes
    digest: bytes
    packed: bytes


@dataclass(frozen=True, slots=True)
class KeptStates:
    """Which states were kept.

    Attributes:
        ids: Of their chunks.
        full: Whether others were not, because there was no room, or nothing could be written. Those
            of chunks that have changed or are gone are never kept.
    """

    ids: frozenset[int]
    full: bool
