"""What is written, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.records.common import SourceKind

# What makes a new source the same as a stored one, besides an equal `content_hash`; see
# `agentmem_storage.sql.writing.duplicates`.
Identity = Literal["hash", "content", "time", "sequence", "id"]


@dataclass(frozen=True, slots=True, eq=False)
class NewChunk:
    """A chunk ready to be written.

    Attributes:
        start: First code point of the chunk in its source.
        end: One past the last code point.
        tokens: Number of tokens T that the latents encode.
        latents: The latents as packed by the model; only the model can unpack them.
        positions: Number of memory vectors M.
        embedding: float32 array of shape (K,), unit norm.
        patch: Corrections that make decode(latents) equal to the chunk; usually empty.
        fidelity: Share of tokens that the latents alone regenerate, 0 to 1.
        text_hash: SHA-256 of the chunk's UTF-8 text.
        terms: The text for the lexical index (not stored itself).
        text: The text if it is to be stored, otherwise None.
    """

    start: int
    end: int
    tokens: int
    latents: bytes
    positions: int
    embedding: NDArray[np.float32]
    patch: bytes
    fidelity: float
    text_hash: bytes
    terms: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class SourceKey:
    """What decides whether a scope already has a source; the fields are those of `NewSource`."""

    content_hash: bytes
    identity: Identity
    metadata: Mapping[str, Any]
    external_id: str | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class NewSource:
    """One message part or document with its chunks, whose spans tile it exactly and in order.

    Sources of one scope with equal ``content_hash`` are the same or occurrences of their own, as
    ``identity`` says. With ``external_id``, the caller's own id, there is one in each scope, and
    another content takes the place of the former. What has expired is in no result.

    Attributes:
        timed: Whether ``created_at`` was given by the caller; if not, a source with the same
            ``external_id`` keeps its time.
    """

    kind: SourceKind
    content_hash: bytes
    chars: int
    chunks: tuple[NewChunk, ...]
    created_at: datetime
    role: str | None = None
    name: str | None = None
    title: str | None = None
    uri: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    identity: Identity = "hash"
    external_id: str | None = None
    expires_at: datetime | None = None
    timed: bool = True

    @property
    def key(self) -> SourceKey:
        """What decides whether a scope already has it."""
        return SourceKey(
            self.content_hash,
            self.identity,
            self.metadata,
            self.external_id,
            self.created_at if self.timed else None,
            self.expires_at,
        )


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of writing one source: its id, its chunks' ids, whether it already existed.

    One that was forgotten, and is not stored again, has no chunks.

    Attributes:
        replaced: Whether it is in the place of what its external id was for before; of a duplicate,
            whether it has its metadata or its time to expire. From
            `agentmem_storage.store.Store.find`, that it would be; the chunks are then the old ones.
        prolonged: From there, whether it exists, but expires earlier than the new one.
    """

    source_id: int
    chunk_ids: tuple[int, ...]
    duplicate: bool
    replaced: bool = False
    prolonged: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class StagedChunk:
    """A stored chunk as another model encodes it.

    Attributes:
        chunk_id: Its id.
        embedding: float32 array of shape (K,) of that model, unit norm.
        parts: The chunk encoded, in pieces that tile it if it is too long for that model; empty if
            its latents stay as they are. The first piece has the given embedding.
    """

    chunk_id: int
    embedding: NDArray[np.float32]
    parts: tuple[NewChunk, ...] = ()


@dataclass(frozen=True, slots=True)
class Switched:
    """The outcome of `Store.switch`.

    Attributes:
        left: Ids of chunks that are not staged yet, ascending; if there are any, nothing was done.
        split: Ids of the chunks that are now several, ascending.
    """

    left: tuple[int, ...] = ()
    split: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The outcome of one `forget`.

    Attributes:
        ids: Ids of the chunks deleted, ascending.
        sources: Number of sources deleted because they had no other chunk.
        terms_stale: Whether the lexical index still contains terms of deleted chunks, because
            their texts were not given; rebuilding it removes them.
        purged: Whether no byte remains in the files. If not, another process used the store for
            longer than the timeout, or the disk is full; the next `forget` and the next opening
            of the store try again.
    """

    ids: tuple[int, ...]
    sources: int
    terms_stale: bool
    purged: bool

    @property
    def chunks(self) -> int:
        """Number of chunks deleted; unknown ids do not count."""
        return len(self.ids)
