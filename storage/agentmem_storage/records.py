"""What crosses the boundary of the storage package: frozen records and numpy arrays.

Axes: M memory vectors of a chunk, D dims of a memory vector, K dims of a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray


class Unset(Enum):
    """The type of `UNSET`, which says "leave it as it is" where None has a meaning of its own."""

    UNSET = "UNSET"


UNSET: Final = Unset.UNSET

# Lower ends of the bins of `StoreStats.fidelity`; the last bin holds exactly 1.
FIDELITY_EDGES: Final = (0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)

SourceKind = Literal["message", "tool_call", "tool_result", "document"]


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose memory it is. ``None`` means "not said" on writing and "any" on reading."""

    user_id: str | None = None
    agent_id: str | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class NewChunk:
    """A chunk that is ready to be written.

    Attributes:
        start: First code point of the chunk in its source.
        end: One past the last code point.
        tokens: Number of tokens T that the latents stand for.
        latents: The latents as the model packed them; only the model can read them.
        positions: Number of memory vectors M that they are.
        key: float32 array of shape (K,), unit norm.
        patch: Corrections that make decode(latents) equal to the chunk; usually empty.
        fidelity: Share of tokens that the latents alone regenerate, 0 to 1.
        text_hash: SHA-256 of the chunk's UTF-8 text.
        terms: The text that the lexical index sees (never stored as such).
        text: The text itself if it is to be kept, else None.
    """

    start: int
    end: int
    tokens: int
    latents: bytes
    positions: int
    key: NDArray[np.float32]
    patch: bytes
    fidelity: float
    text_hash: bytes
    terms: str
    text: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class NewSource:
    """One message part or document with its chunks, in order; their spans tile it exactly.

    ``content_hash`` is what deduplication within a scope compares.
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


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one source: its id, its chunks' ids, and whether it was there already."""

    source_id: int
    chunk_ids: tuple[int, ...]
    duplicate: bool


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """A stored source, without its chunks.

    ``damage`` says what is wrong with a row whose metadata cannot be read; they are then empty.
    """

    id: int
    scope: Scope
    kind: SourceKind
    role: str | None
    name: str | None
    title: str | None
    uri: str | None
    created_at: datetime
    added_at: datetime
    chars: int
    chunk_ids: tuple[int, ...]
    metadata: Mapping[str, Any]
    damage: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ChunkRecord:
    """A stored chunk; ``latents``, ``positions`` and ``key`` as in `NewChunk`.

    ``damage`` says what is wrong with a row that does not match its checksums; there are then no
    latents, no patch and no text. A damaged key is None and no more damage than that: the text
    needs none.

    ``stored_bytes`` counts latents, key and patch with their headers, and the text if it is kept;
    not the row's numbers and hash, nor what the lexical index holds.
    """

    id: int
    source_id: int
    ordinal: int
    start: int
    end: int
    tokens: int
    latents: bytes
    positions: int
    patch: bytes
    fidelity: float
    text_hash: bytes
    stored_bytes: int
    text: str | None
    key: NDArray[np.float32] | None = field(repr=False)
    damage: str | None = None


@dataclass(frozen=True, slots=True)
class LatentsRecord:
    """The latents of a chunk and how its source is headed, without anything else of either.

    ``latents``, ``tokens`` and ``patch`` are as in `NewChunk`; the latents are empty, and the
    patch is None, if they do not match their checksum. ``name`` and ``title`` are the source's.
    """

    latents: bytes
    tokens: int
    patch: bytes | None
    name: str | None
    title: str | None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which chunks a call speaks of; every given part must hold.

    Attributes:
        scope: Scope words that must be equal; a word left None matches anything.
        ids: Chunk ids.
        source_ids: Source ids.
        where: Filter over metadata and fields, see `agentmem_storage.sql.filters`.
        since: Inclusive lower bound of ``created_at``.
        until: Exclusive upper bound of ``created_at``.
    """

    scope: Scope = Scope()
    ids: tuple[int, ...] | None = None
    source_ids: tuple[int, ...] | None = None
    where: Mapping[str, Any] | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is asked for, so that all chunks are meant."""
        return self == EVERYTHING


EVERYTHING: Final = Selection()


# Ids of what was written before a chunk, and of what was written after it; the nearest first.
Sides = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What stands beside chunks in their scopes.

    Attributes:
        sides: By id of each chunk that was asked for.
        tokens: How many tokens each of them has, and each of its neighbours, by id.
    """

    sides: dict[int, Sides]
    tokens: dict[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Ids and scores of one search, best first; higher scores are better.

    Attributes:
        ids: int64 array of shape (n,).
        scores: float32 array of shape (n,).
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What one `forget` took away.

    Attributes:
        chunks: Number of chunks deleted; ids that were not there do not count.
        sources: Number of sources that had no other chunk and went with them.
        terms_stale: The lexical index still holds terms of forgotten chunks, because theirs were
            not given: rebuild it to make them disappear.
        purged: Whether no byte of it is left in the files. If not, another process kept using
            the store for longer than the timeout, or the disk is full; the next `forget` and the
            next opening of the store try again.
    """

    chunks: int
    sources: int
    terms_stale: bool
    purged: bool


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a store; ``chunk_id`` is None if it is no one chunk's."""

    chunk_id: int | None
    what: str


@dataclass(frozen=True, slots=True)
class ScopeStats:
    """One scope that has memories, exactly as it was given on writing."""

    scope: Scope
    sources: int
    chunks: int


@dataclass(frozen=True, slots=True)
class SelectionSums:
    """Sums over selected chunks; ``chunks``, ``tokens`` and ``positions`` as in `StoreStats`."""

    chunks: int
    tokens: int
    positions: int


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Sums over a store.

    Attributes:
        chunks: Number of chunks, the memories.
        sources: Number of messages and documents.
        scopes: Number of different scopes.
        tokens: Tokens that the latents stand for.
        positions: Memory vectors: the sum of M over the chunks.
        latent_bytes: Bytes of latents, headers included.
        patch_bytes: Bytes of patches, checksums included.
        key_bytes: Bytes of keys, headers included.
        text_bytes: UTF-8 bytes of the texts that are kept.
        file_bytes: Size of all files of the store, the index cache included.
        fidelity: How many chunks have a fidelity from `FIDELITY_EDGES`[i] to below the next.
    """

    chunks: int
    sources: int
    scopes: int
    tokens: int
    positions: int
    latent_bytes: int
    patch_bytes: int
    key_bytes: int
    text_bytes: int
    file_bytes: int
    fidelity: tuple[int, ...]
