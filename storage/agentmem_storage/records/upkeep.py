"""What is found out about a store, and what was done to it as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from agentmem_storage.records.common import Scope

# Lower edges of the bins of `StoreStats.fidelity`; the last bin holds exactly 1.
FIDELITY_EDGES: Final = (0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)


# When the bytes of deleted rows are removed from the files.
Purging = Literal["now", "later"]


# What is done about damage. A ``chunk`` or a ``source`` is taken out of use. Of a source whose
# ``vectors`` or ``spans`` were altered, the chunks that decode to their texts are taken as they
# are, with embeddings made again in the first case. An ``embedding``, the
# lexical index (``terms``) with the values that filters look up, the ``log`` of changes with the
# vector index, and the checksum of the store's ``own row`` are made again; ``notes`` are deleted;
# and of a ``file``, the indexes are made again.
Remedy = Literal[
    "chunk", "source", "vectors", "spans", "embedding", "terms", "log", "own row", "notes", "file"
]


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
