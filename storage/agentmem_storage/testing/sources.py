"""Deterministic sources for tests, generated from a text."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.records import NewChunk, NewSource, SourceKind, Written

MODEL = "test-model"
EMBEDDING_DIMS = 32
TOKENS_PER_VECTOR = 16
NOON = datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=UTC)


def make_source(
    text: str,
    *,
    chunk_chars: int = 64,
    kind: SourceKind = "message",
    created_at: datetime = NOON,
    patch: bytes = b"",
    fidelity: float = 1.0,
    keep_text: bool = False,
    **fields: Any,
) -> NewSource:
    """A source ready to be written, always the same for the same text.

    Latents and embeddings are derived from a hash of the text.

    Args:
        text: Its content, not empty.
        chunk_chars: Characters per chunk; a token has four.
        kind: As in `NewSource`.
        created_at: As in `NewSource`.
        patch: Given to every chunk.
        fidelity: Given to every chunk.
        keep_text: Whether the text is stored with the chunks.
        **fields: ``role``, ``name``, ``title``, ``uri``, ``metadata`` as in `NewSource`.
    """
    chunks = []
    for start in range(0, len(text), chunk_chars):
        part = text[start : start + chunk_chars]
        tokens = -(-len(part) // 4)
        chunks.append(
            NewChunk(
                start=start,
                end=start + len(part),
                tokens=tokens,
                latents=make_latents(part, tokens),
                positions=-(-tokens // TOKENS_PER_VECTOR),
                embedding=make_embedding(part),
                patch=patch,
                fidelity=fidelity,
                text_hash=hashlib.sha256(part.encode()).digest(),
                terms=part,
                text=part if keep_text else None,
            )
        )
    return NewSource(
        kind=kind,
        content_hash=hashlib.sha256(text.encode()).digest(),
        chars=len(text),
        chunks=tuple(chunks),
        created_at=created_at,
        **fields,
    )


def make_latents(text: str, tokens: int) -> bytes:
    """The packed latents of a chunk of `make_source`: two bytes per token."""
    return _random(text).bytes(2 * tokens)


def make_embedding(text: str) -> NDArray[np.float32]:
    """The embedding of a chunk of `make_source`: float32 of shape (K,), unit norm."""
    embedding = _random(text).standard_normal(EMBEDDING_DIMS)
    return (embedding / np.linalg.norm(embedding)).astype(np.float32)


def terms_of(written: Written, source: NewSource) -> dict[int, str]:
    """The indexed text of each chunk of a source, as `forget` requires it."""
    return {one: chunk.terms for one, chunk in zip(written.chunk_ids, source.chunks, strict=True)}


def _random(text: str) -> np.random.Generator:
    seed = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(seed[:8], "big"))
