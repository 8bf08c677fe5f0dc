"""Parts of messages and documents -> chunks, encoded and verified, as rows ready to be written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from agentmem.errors import InputError
from agentmem.ingest.chunk import Piece, chunk_text
from agentmem.ingest.identity import content_hash, preface, preface_ids, terms, text_hash
from agentmem.models.base import AUTO, MIN_FIDELITY, EncodedChunk, MemoryModel
from agentmem.types import Part
from agentmem_storage.records import NewChunk, NewSource

# Pieces that go through the models between two calls of the progress callback.
_STRIDE = 256

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Storing:
    """How a store keeps its memories; the arguments of `agentmem.Memory` that say so."""

    density: str = AUTO
    min_fidelity: float = MIN_FIDELITY
    keep_text: bool = False

    def check(self, model: MemoryModel) -> None:
        """Refuse what the model cannot do.

        Raises:
            InputError: the model has no such density, or the fidelity is no share.
        """
        names = (AUTO, *model.codec.quantizations)
        if self.density not in names:
            raise InputError(
                f"density={self.density!r} is unknown: bundle {model.name!r} has {', '.join(names)}"
            )
        if not 0.0 <= self.min_fidelity <= 1.0:
            raise InputError(f"min_fidelity={self.min_fidelity!r} must be a share from 0 to 1")


def prepare(
    parts: Sequence[Part],
    model: MemoryModel,
    *,
    storing: Storing,
    now: datetime,
    on_progress: Progress | None = None,
) -> list[NewSource]:
    """Cut, encode and verify; nothing is written.

    Args:
        parts: Texts that are to become memories.
        model: The store's model bundle.
        storing: How the store keeps its memories.
        now: The time of parts that carry none.
        on_progress: Called with the numbers of chunks done and of all.
    """
    pieces = [chunk_text(p.text, model.tokenizer, max_tokens=model.codec.max_tokens) for p in parts]
    flat = [piece for group in pieces for piece in group]
    told = [
        preface_ids(preface(part), model.tokenizer)
        for part, group in zip(parts, pieces, strict=True)
        for _ in group
    ]
    encoded: list[EncodedChunk] = []
    for start in range(0, len(flat), _STRIDE):
        encoded += model.encode(
            [piece.ids for piece in flat[start : start + _STRIDE]],
            prefaces=told[start : start + _STRIDE],
            quantization=storing.density,
            min_fidelity=storing.min_fidelity,
        )
        if on_progress is not None:
            on_progress(len(encoded), len(flat))
    made = iter(zip(flat, encoded, strict=True))
    return [
        NewSource(
            kind=part.kind,
            content_hash=content_hash(part),
            chars=len(part.text),
            chunks=tuple(_chunk(part, *next(made), keep_text=storing.keep_text) for _ in group),
            created_at=part.created_at or now,
            role=part.role,
            name=part.name,
            title=part.title,
            uri=part.uri,
            metadata=part.metadata,
        )
        for part, group in zip(parts, pieces, strict=True)
    ]


def _chunk(part: Part, piece: Piece, encoded: EncodedChunk, *, keep_text: bool) -> NewChunk:
    return NewChunk(
        start=piece.start,
        end=piece.end,
        tokens=len(piece.ids),
        latents=encoded.packed,
        positions=len(encoded.latents),
        key=encoded.embedding,
        patch=encoded.patch,
        fidelity=encoded.fidelity,
        text_hash=text_hash(piece.text),
        terms=terms(piece.text, part),
        text=piece.text if keep_text else None,
    )
