"""What is stored, as it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.records.common import Scope, SourceKind


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


# Ids of the chunks said before a chunk, and of those said after it; nearest first.
Sides = tuple[tuple[int, ...], tuple[int, ...]]


class Turn(NamedTuple):
    """What of a chunk tells whether it belongs to the chunks around it.

    Attributes:
        tokens: Its number of tokens.
        source: Id of its source.
        time: When it was said, in microseconds since 1970.
        speaker: Equal for equal speakers: by name, or by role; None for a document's chunk.
        text: Equal for equal texts of one user and agent, and for hardly any others; empty: not
            known.
    """

    tokens: int
    source: int
    time: int
    speaker: str | None
    text: str = ""


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
