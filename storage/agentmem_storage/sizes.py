"""Stored sizes: the bytes that a chunk takes in the database, headers and checksums included."""

from __future__ import annotations

from dataclasses import dataclass

from agentmem_storage.records import NewChunk
from agentmem_storage.sql.schema.codec import HEADER_BYTES, encode_latents, encode_patch


@dataclass(frozen=True, slots=True)
class StoredSizes:
    """Bytes of a chunk's columns, as `StoreStats` counts them."""

    latents: int
    patch: int
    embedding: int
    text: int

    @property
    def total(self) -> int:
        """Bytes of all of them."""
        return self.latents + self.patch + self.embedding + self.text


def stored_sizes(chunk: NewChunk) -> StoredSizes:
    """Sizes of a chunk's columns once it is written; an empty patch takes no bytes."""
    return StoredSizes(
        latents=len(encode_latents(chunk.latents, chunk.positions)),
        patch=len(encode_patch(chunk.patch) or b""),
        embedding=HEADER_BYTES + len(chunk.embedding),  # one byte per dim
        text=0 if chunk.text is None else len(chunk.text.encode()),
    )
