"""Chunks and hits as callers see them; their text is decoded only when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentmem.context.decode import Loader
from agentmem.errors import CorruptRecordError
from agentmem_storage.records import ChunkRecord, Scope, SourceRecord


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """A stored chunk of one message or document."""

    record: ChunkRecord = field(repr=False)
    source: SourceRecord
    loader: Loader = field(repr=False)

    @property
    def id(self) -> int:
        """The chunk's id, never used again after it is forgotten."""
        return self.record.id

    @property
    def text(self) -> str:
        """The exact text, decoded from the latents and checked when first asked for.

        Raises:
            CorruptRecordError: the row is damaged.
        """
        return self.loader.text(self.record.id)

    @property
    def latents(self) -> NDArray[np.int8]:
        """The memory vectors, int8 (M, D).

        Raises:
            CorruptRecordError: the row is damaged.
        """
        return self.loader.latents(self.record)

    @property
    def latents_fingerprint(self) -> str:
        """Stands for the autoencoder that made the latents, and alone can read them."""
        return self.loader.latents_fingerprint

    @property
    def tokens(self) -> int:
        """Tokens that the latents stand for."""
        return self.record.tokens

    @property
    def positions(self) -> int:
        """Decoder positions that the latents take in place of their tokens: M.

        Raises:
            CorruptRecordError: the row is damaged.
        """
        if self.record.damage is not None:
            raise CorruptRecordError(self.record.damage, id=self.id)
        return self.record.positions

    @property
    def fidelity(self) -> float:
        """Share of tokens that the latents regenerate without the patch."""
        return self.record.fidelity

    @property
    def stored_bytes(self) -> int:
        """Bytes of the row's latents, patch, key and kept text."""
        return self.record.stored_bytes

    @property
    def span(self) -> tuple[int, int]:
        """First code point and one past the last, in the source."""
        return self.record.start, self.record.end

    @property
    def role(self) -> str | None:
        """Who speaks, as a role; None for documents."""
        return self.source.role

    @property
    def name(self) -> str | None:
        """Who speaks, by name."""
        return self.source.name

    @property
    def created_at(self) -> datetime:
        """When it was said or written, as far as it was told; else when it was added."""
        return self.source.created_at

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the caller attached.

        Raises:
            CorruptRecordError: the row is damaged.
        """
        if self.source.damage is not None:
            raise CorruptRecordError(self.source.damage, id=self.id)
        return self.source.metadata

    @property
    def scope(self) -> Scope:
        """Whose memory it is."""
        return self.source.scope

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, text included."""
        return {
            "id": self.id,
            "text": self.text,
            "role": self.role,
            "name": self.name,
            "kind": self.source.kind,
            "title": self.source.title,
            "created_at": self.created_at.isoformat(),
            "metadata": dict(self.metadata),
            "user_id": self.scope.user_id,
            "agent_id": self.scope.agent_id,
            "session_id": self.scope.session_id,
            "source_id": self.source.id,
            "span": list(self.span),
            "tokens": self.tokens,
            "positions": self.positions,
            "stored_bytes": self.stored_bytes,
            "fidelity": self.fidelity,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Hit(Chunk):
    """A chunk that a recall found.

    Attributes:
        score: 0 to 1, higher is better; comparable inside one recall only. See
            `agentmem.retrieval.fusion` for how it is made.
        explain: The parts of the score, by name.
        expanded_from: Id of the hit that brought it by ``expand=``; None if it was found itself.
            What was brought has the score that the search gave it all the same, or else 0.
    """

    score: float
    explain: Mapping[str, float]
    expanded_from: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, text and score included."""
        # The zero-argument form of super() does not work in a slots dataclass.
        return {
            "score": self.score,
            "explain": dict(self.explain),
            "expanded_from": self.expanded_from,
            **Chunk.to_dict(self),
        }
