"""Sources to test with: made of a text, the same for the same text."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.records import NewChunk, NewSource, SourceKind, Written

MODEL = "test-model"
KEY_DIMS = 32
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
    """A source that is ready to be written, the same for the same text.

    Latents and keys come from a hash of the text: equal texts have equal ones, others do not.

    Args:
        text: Its content, not empty.
        chunk_chars: Characters per chunk; four make a token.
        kind: As in `NewSource`.
        created_at: As in `NewSource`.
        patch: Given to every chunk.
        fidelity: Given to every chunk.
        keep_text: Whether the chunks keep their text.
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
                key=make_key(part),
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
    """The packed latents of a chunk of `make_source`: two bytes for each token."""
    return _random(text).bytes(2 * tokens)


def make_key(text: str) -> NDArray[np.float32]:
    """The key of a chunk of `make_source`: float32 of shape (K,), unit norm."""
    key = _random(text).standard_normal(KEY_DIMS)
    return (key / np.linalg.norm(key)).astype(np.float32)


def terms_of(written: Written, source: NewSource) -> dict[int, str]:
    """What the lexical index was given for each chunk of a source: what `forget` asks for."""
    return {one: chunk.terms for one, chunk in zip(written.chunk_ids, source.chunks, strict=True)}


def _random(text: str) -> np.random.Generator:
    seed = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(seed[:8], "big"))
