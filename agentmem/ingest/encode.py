"""Encodes parts of messages and documents: chunked, encoded and verified, ready to be written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from numbers import Real
from typing import Literal, get_args

import numpy as np

from agentmem.errors import InputError
from agentmem.ingest.chunk import Piece, chunk_text
from agentmem.ingest.identity import preface, preface_ids, source_key, terms, text_hash
from agentmem.ingest.threads import map_in_threads
from agentmem.models.base import AUTO, MIN_FIDELITY, EncodedChunk, MemoryModel
from agentmem.types import Part
from agentmem_storage.records import NewChunk, NewSource
from agentmem_storage.text import shown

# Chunks encoded between two calls of the progress callback, by one thread.
BATCH = 256

Progress = Callable[[int, int], None]
Quantization = Literal["auto", "fine", "coarse"]
# Token ids of a chunk, and of what precedes it in its embedding.
_Ids = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class EncodingOptions:
    """How new chunks are encoded and stored: the options of `agentmem.Memory` that decide it.

    Attributes:
        threads: How many threads encode long lists; see `agentmem.ingest.threads`.

    Raises:
        TypeError: the fidelity is not a number.
        InputError: the quantization is unknown, or the fidelity is not between 0 and 1.
    """

    quantization: Quantization = "auto"
    min_fidelity: float = MIN_FIDELITY
    keep_text: bool = False
    threads: int = 1

    def __post_init__(self) -> None:
        if self.quantization not in get_args(Quantization):
            names = ", ".join(map(repr, get_args(Quantization)))
            raise InputError(f"unknown quantization {self.quantization!r}: one of {names}")
        fidelity = self.min_fidelity
        if isinstance(fidelity, bool | np.bool_) or not isinstance(fidelity, Real):
            raise TypeError(f"min_fidelity must be a number from 0 to 1, not {shown(fidelity)}")
        if not 0.0 <= self.min_fidelity <= 1.0:
            raise InputError(f"min_fidelity={shown(self.min_fidelity)} must be between 0 and 1")

    def quantization_of(self, model: MemoryModel) -> str:
        """The model's own name for the quantization; stores record that name."""
        if self.quantization == "auto":
            return AUTO
        return model.codec.quantizations[0 if self.quantization == "fine" else -1]


def prepare(
    parts: Sequence[Part],
    model: MemoryModel,
    *,
    options: EncodingOptions,
    now: datetime,
    on_progress: Progress | None = None,
) -> list[NewSource]:
    """Split, encode and verify texts; nothing is written.

    Args:
        parts: The texts to store.
        model: The store's model bundle.
        options: How chunks are encoded and stored.
        now: The time of parts that have none, and no neighbor that has one.
        on_progress: Called with the number of chunks encoded so far and the total.
    """
    pieces = [chunk_text(p.text, model.tokenizer, max_tokens=model.codec.max_tokens) for p in parts]
    flat = [piece for group in pieces for piece in group]
    prefaces = [
        preface_ids(preface(part), model.tokenizer)
        for part, group in zip(parts, pieces, strict=True)
        for _ in group
    ]
    quantization = options.quantization_of(model)
    # The same words of the same speaker are encoded once.
    each = [(piece.ids, ids) for piece, ids in zip(flat, prefaces, strict=True)]
    distinct = list(dict.fromkeys(each))
    # The same batches whatever the number of threads: so are the bytes.
    batches = [distinct[start : start + BATCH] for start in range(0, len(distinct), BATCH)]

    def encode(batch: Sequence[_Ids]) -> list[EncodedChunk]:
        return model.encode(
            [ids for ids, _ in batch],
            prefaces=[before for _, before in batch],
            quantization=quantization,
            min_fidelity=options.min_fidelity,
        )

    encoded: dict[_Ids, EncodedChunk] = {}
    made_each = map_in_threads(encode, batches, options.threads)
    for batch, made_now in zip(batches, made_each, strict=True):
        encoded |= zip(batch, made_now, strict=True)
        if on_progress is not None:
            on_progress(len(encoded), len(distinct))
    made = iter(zip(flat, (encoded[one] for one in each), strict=True))
    return [
        NewSource(
            kind=part.kind,
            content_hash=key.content_hash,
            chars=len(part.text),
            chunks=tuple(_chunk(part, *next(made), keep_text=options.keep_text) for _ in group),
            created_at=part.created_at or part.ordered_at or now,
            role=part.role,
            name=part.name,
            title=part.title,
            uri=part.uri,
            metadata=part.metadata,
            identity=key.identity,
            external_id=part.external_id,
            expires_at=part.expires_at,
            timed=part.created_at is not None,
        )
        for part, key, group in zip(parts, map(source_key, parts), pieces, strict=True)
    ]


def _chunk(part: Part, piece: Piece, encoded: EncodedChunk, *, keep_text: bool) -> NewChunk:
    return NewChunk(
        start=piece.start,
        end=piece.end,
        tokens=len(piece.ids),
        latents=encoded.packed,
        positions=len(encoded.latents),
        embedding=encoded.embedding,
        patch=encoded.patch,
        fidelity=encoded.fidelity,
        text_hash=text_hash(piece.text),
        terms=terms(piece.text, part),
        text=piece.text if keep_text else None,
    )
