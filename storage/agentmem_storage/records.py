"""Records that cross the boundary of the storage package: frozen dataclasses and numpy arrays.

Axes: M memory vectors of a chunk, D dims of a memory vector, K dims of an embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Unset(Enum):
    """The type of `UNSET`, which means "not given" where None has a meaning of its own."""

    UNSET = "UNSET"


UNSET: Final = Unset.UNSET

# Lower edges of the bins of `StoreStats.fidelity`; the last bin holds exactly 1.
FIDELITY_EDGES: Final = (0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)

# When the bytes of deleted rows are removed from the files.
Purging = Literal["now", "later"]
SourceKind = Literal["message", "tool_call", "tool_result", "document"]

# What is done about damage. A ``chunk`` or a ``source`` is taken out of use. Of a source whose
# ``vectors`` or ``spans`` were altered, the chunks that decode to their texts are taken as they
# are, with embeddings made again in the first case. An ``embedding``, the
# lexical index (``terms``) with the values that filters look up, the ``log`` of changes with the
# vector index, and the checksum of the store's ``own row`` are made again; ``notes`` are deleted;
# and of a ``file``, the indexes are made again.
Remedy = Literal[
    "chunk", "source", "vectors", "spans", "embedding", "terms", "log", "own row", "notes", "file"
]

# What makes a new source the same as a stored one, besides an equal `content_hash`; see
# `agentmem_storage.sql.duplicates`.
Identity = Literal["hash", "content", "time", "sequence", "id"]


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose memory it is. ``None`` means "unspecified" on writing and "any" on reading."""

    user_id: str | None = None
    agent_id: str | None = None
    session_id: str | None = None


ANY_SCOPE: Final = Scope()


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


@dataclass(frozen=True, slots=True)
class ModelBinding:
    """The models that a store is bound to.

    Attributes:
        model: Fingerprint of all that stored bytes depend on: of what latents depend on, and of the
            embedder.
        embedding_dims: K.
        latents: Fingerprint of what latents depend on alone; None of an older store that has not
            been opened since this is written down.
    """

    model: str
    embedding_dims: int
    latents: str | None = None


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
class SourceRecord:
    """A stored source, without its chunks.

    ``damage`` describes a row whose metadata cannot be read; the metadata are then empty.
    ``content_hash`` is None once a part of the source has been forgotten. ``changed`` says that its
    content or metadata were others once; it is not kept of documents.
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
    content_hash: bytes | None = field(default=None, repr=False)
    changed: bool = field(default=False, repr=False)
    external_id: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ChunkRecord:
    """A stored chunk; ``latents``, ``positions`` and ``embedding`` as in `NewChunk`.

    ``damage`` describes a row that does not match its checksums; latents, patch and text are then
    empty. A damaged embedding is None and does not count as damage, because the text does not
    depend on it.

    ``stored_bytes`` counts latents, embedding and patch with their headers, and the text if it is
    stored; not the row's numbers and hash, nor its entries in the lexical index.
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
    embedding: NDArray[np.float32] | None = field(repr=False)
    damage: str | None = None


@dataclass(frozen=True, slots=True)
class LatentsRecord:
    """The latents of a chunk, with the name and title of its source.

    ``latents``, ``tokens`` and ``patch`` are as in `NewChunk`; the latents are empty, and the
    patch is None, if they do not match their checksum.
    """

    latents: bytes
    tokens: int
    patch: bytes | None
    name: str | None
    title: str | None


class Said(NamedTuple):
    """What tells whether two chunks are repeats, and when each was said.

    Kind, role, name and title are those of the source; ``created_at`` is its time in microseconds
    since 1970, because a recall compares hundreds and shows few.
    """

    text_hash: bytes
    kind: str
    role: str | None
    name: str | None
    title: str | None
    created_at: int
    user_id: str | None
    agent_id: str | None
    session_id: str | None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which chunks a call refers to; all given conditions must hold.

    Attributes:
        scope: Scope ids that must be equal; None matches anything.
        ids: Chunk ids.
        source_ids: Source ids.
        external_ids: Ids that callers gave to sources.
        where: Filter over metadata and fields, see `agentmem_storage.sql.filters`.
        since: Inclusive lower bound of ``created_at``.
        until: Exclusive upper bound of ``created_at``.
        days: From the beginning of one day to that of another, exclusive; None is an open end. They
            bound the day on which something was said, see `agentmem_storage.timestamps.said_on`.
        expired: False for what has not expired, True for what has and is not erased yet, None for
            both.
    """

    scope: Scope = Scope()
    ids: tuple[int, ...] | None = None
    source_ids: tuple[int, ...] | None = None
    external_ids: tuple[str, ...] | None = None
    where: Mapping[str, Any] | None = None
    since: datetime | None = None
    until: datetime | None = None
    days: tuple[datetime | None, datetime | None] = (None, None)
    expired: bool | None = False

    @property
    def everything(self) -> bool:
        """Whether there are no conditions: all chunks but expired ones are selected."""
        return self == EVERYTHING


EVERYTHING: Final = Selection()


@dataclass(frozen=True, slots=True)
class Page:
    """A part of what is listed in order.

    Attributes:
        after: Id of the chunk that comes just before it; None for the beginning.
        limit: Maximum number of chunks; None for all that follow.
        newest_first: Whether the order is the opposite one.
    """

    after: int | None = None
    limit: int | None = None
    newest_first: bool = False


WHOLE: Final = Page()


# Ids of the chunks said before a chunk, and of those said after it; nearest first.
Sides = tuple[tuple[int, ...], tuple[int, ...]]


class Turn(NamedTuple):
    """What of a chunk tells whether it belongs to the chunks around it.

    Attributes:
        tokens: Its number of tokens.
        source: Id of its source.
        time: When it was said, in microseconds since 1970.
        speaker: Equal for equal speakers: by name, or by role; None for a document's chunk.
    """

    tokens: int
    source: int
    time: int
    speaker: str | None


@dataclass(frozen=True, slots=True)
class Neighbors:
    """The neighbors of chunks in their scopes.

    Attributes:
        sides: The neighbors of each requested chunk, by its id.
        turns: Of each requested chunk and each neighbor, by id.
    """

    sides: dict[int, Sides]
    turns: dict[int, Turn]


@dataclass(frozen=True, slots=True)
class Link:
    """A source that supersedes another, or seems to.

    Attributes:
        old: Id of the source that is superseded.
        new: Id of the one that supersedes it.
        score: How likely it does, 0 to 1; None if somebody stated it.
        linked_at: When the link was made, in UTC.
    """

    old: int
    new: int
    score: float | None
    linked_at: datetime


@dataclass(frozen=True, slots=True)
class Linked:
    """The links of some chunks' sources, and those of the sources that these lead to.

    Attributes:
        links: The links.
        chunk_ids: The chunks of each of their sources, in the order of the text, by source id.
        created_at: The time of each of their sources, in microseconds since 1970, by source id.
    """

    links: tuple[Link, ...]
    chunk_ids: dict[int, tuple[int, ...]]
    created_at: dict[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Ids and scores of one search, best first; higher scores are better.

    Attributes:
        ids: int64 array of shape (n,).
        scores: float32 array of shape (n,).
        coverage: Of a search by words: the share of the query's words, by weight, that the best
            result contains.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    coverage: float = 1.0


@dataclass(frozen=True, slots=True)
class WordMatches:
    """How much of a query's words some chunks contain, each word weighed by its rarity in a scope.

    The weight of a word is its inverse document frequency, ``log(1 + (N - n + 0.5) / (n + 0.5))``
    if n of N chunks contain it. Stop words do not count.

    Attributes:
        total: Weight of all words of the query; 0 if it has none but stop words.
        greatest: Weight of a word that no chunk contains.
        chunks: N, the number of chunks in the scope.
        found: Weight of the words that each of the chunks contains, by id; none are missing.
    """

    total: float
    greatest: float
    chunks: int
    found: dict[int, float]


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


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem found in a store.

    Attributes:
        chunk_id: The chunk; None if it does not concern a single one.
        what: What is wrong.
        repair: What `Store.repair` does about it.
        source_id: The source, if ``repair`` is ``source``.
    """

    chunk_id: int | None
    what: str
    repair: Remedy = field(default="file", compare=False)
    source_id: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A damaged chunk that was taken out of use.

    Attributes:
        id: The id that it had; of a message or document that has lost its chunks, its negative id.
        why: What is wrong with it.
        noted_at: When it was taken out of use, in UTC.
        scope: Whose it was, as far as that could be read.
    """

    id: int
    why: str
    noted_at: datetime
    scope: Scope


# What a line of the audit log tells of: a memory was ``added``, ``changed`` or ``forgotten``;
# ``erased`` because it had expired; or put into ``quarantine``. Or the log itself ``began``,
# ``ended``, or had a line that was ``damaged``.
AuditOp = Literal[
    "added", "changed", "forgotten", "erased", "quarantine", "began", "ended", "damaged"
]


@dataclass(frozen=True, slots=True)
class AuditLine:
    """A line of the audit log.

    Attributes:
        id: Its number; later ones are higher.
        at: When it was written, in UTC.
        op: What was done.
        scope: Whose memory it was; empty if the line is about the log itself.
        source: Id of the message or document; None likewise.
        ids: Ids of the memories that it consisted of after the change, or before it was deleted;
            of one that was forgotten in part, of that part.
    """

    id: int
    at: datetime
    op: AuditOp
    scope: Scope
    source: int | None
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Repaired:
    """The outcome of `Store.repair`.

    Attributes:
        quarantined: Ids of what was taken out of use, ascending.
        embed: Ids of the chunks whose embeddings have to be made again, ascending.
        rebuilt: What else was done, in words.
    """

    quarantined: tuple[int, ...]
    embed: tuple[int, ...]
    rebuilt: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScopeStats:
    """One scope that has memories, exactly as given on writing.

    ``last_added`` is when something was last added to it; None if that is damaged.
    """

    scope: Scope
    sources: int
    chunks: int
    last_added: datetime | None


@dataclass(frozen=True, slots=True)
class SelectionSums:
    """Totals of selected chunks; ``chunks``, ``tokens`` and ``positions`` as in `StoreStats`."""

    chunks: int
    tokens: int
    positions: int


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Totals of a store, or of a scope in it.

    Attributes:
        chunks: Number of chunks, the memories.
        sources: Number of messages and documents.
        scopes: Number of distinct scopes.
        tokens: Tokens that the latents encode.
        positions: Memory vectors: the sum of M over the chunks.
        latent_bytes: Bytes of latents, headers included.
        patch_bytes: Bytes of patches, checksums included.
        embedding_bytes: Bytes of embeddings, headers included.
        text_bytes: UTF-8 bytes of the stored texts.
        file_bytes: Size of all files of the store, the index cache included, but not the cache of
            states; None for a scope.
        states_bytes: Size of the cache of readers' states; None for a scope.
        fidelity: Number of chunks per bin, from `FIDELITY_EDGES`[i] to below the next edge.
    """

    chunks: int
    sources: int
    scopes: int
    tokens: int
    positions: int
    latent_bytes: int
    patch_bytes: int
    embedding_bytes: int
    text_bytes: int
    file_bytes: int | None
    states_bytes: int | None
    fidelity: tuple[int, ...]


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


@dataclass(frozen=True, slots=True)
class Copied:
    """The result of a backup.

    Attributes:
        folder: Where the copy is.
        chunks: Number of chunks in it.
        file_bytes: Size of its database file.
    """

    folder: Path
    chunks: int
    file_bytes: int


@dataclass(frozen=True, slots=True)
class Exported:
    """The result of an export.

    Attributes:
        path: Where the file is.
        sources: Number of messages and documents in it.
        chunks: Number of their chunks.
        file_bytes: Size of the file.
    """

    path: Path
    sources: int
    chunks: int
    file_bytes: int
