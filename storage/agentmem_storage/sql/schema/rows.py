"""Converts new sources to rows: validated and packed before a transaction begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.errors import InputError
from agentmem_storage.metadata import metadata_json
from agentmem_storage.records import NewChunk, NewSource, Scope, SourceKey, SourceKind
from agentmem_storage.sql.schema import codec
from agentmem_storage.text import is_blank, lone_surrogate, shown
from agentmem_storage.timestamps import to_micros

KINDS = get_args(SourceKind)


@dataclass(frozen=True, slots=True)
class SourceRows:
    """The rows of a source, still without ids.

    Attributes:
        source: Columns of ``sources``.
        chunks: Columns of ``chunks``, one row each, in order.
        terms: The text to index for each chunk.
        key: What decides whether a scope already has it.
    """

    source: dict[str, Any]
    chunks: list[dict[str, Any]]
    terms: list[str]
    key: SourceKey


def make_rows(new: NewSource, embedding_dims: int) -> SourceRows:
    """Validate and pack a source.

    Args:
        new: The source.
        embedding_dims: K of this store.

    Raises:
        InputError: Something in it cannot be stored or is inconsistent.
    """
    if new.kind not in KINDS:
        raise InputError(f"unknown kind {new.kind!r}: one of {', '.join(KINDS)}")
    if not new.chunks:
        raise InputError("a source needs at least one chunk")
    if not new.content_hash:
        raise InputError("a source needs a content_hash")
    end = 0
    for chunk in new.chunks:
        if chunk.start != end or chunk.end < chunk.start:
            raise InputError(
                f"chunks must tile their source: one spans {chunk.start!r} to {chunk.end!r}, but "
                f"the previous one ends at {end!r}"
            )
        end = chunk.end
    if end != new.chars:
        raise InputError(f"chunks must tile their source: they end at {end!r} of {new.chars!r}")
    source = {
        "kind": new.kind,
        "role": storable(new.role, "role"),
        "name": storable(new.name, "name"),
        "title": storable(new.title, "title"),
        "uri": storable(new.uri, "uri"),
        "created_at": to_micros(new.created_at, "created_at"),
        "chars": new.chars,
        "content_hash": new.content_hash,
        "metadata": metadata_json(new.metadata),
        "external_id": storable(new.external_id, "external_id"),
        "expires_at": None if new.expires_at is None else to_micros(new.expires_at, "expires_at"),
    }
    chunks = [chunk_row(chunk, number, embedding_dims) for number, chunk in enumerate(new.chunks)]
    terms = [_required(chunk.terms, "terms") for chunk in new.chunks]
    return SourceRows(source, chunks, terms, new.key)


def check_scope(scope: Scope) -> Scope:
    """Return the scope if its ids are valid.

    Raises:
        InputError: An id is blank or not valid Unicode.
    """
    for name in ("user_id", "agent_id", "session_id"):
        id = storable(getattr(scope, name), name)
        if id is not None and is_blank(id):
            raise InputError(f"{name} must not be empty or blank; omit it to leave it unspecified")
    return scope


def storable(value: str | None, name: str) -> str | None:
    """Return the text if it can be stored.

    Raises:
        TypeError: It is not a string.
        InputError: It has a lone surrogate.
    """
    return None if value is None else _required(value, name)


def _required(value: str, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {shown(value)}")
    if lone_surrogate(value) is not None:
        raise InputError(f"{name} has a lone surrogate and is not valid Unicode: {value!r}")
    return value


def chunk_row(chunk: NewChunk, ordinal: int, embedding_dims: int) -> dict[str, Any]:
    """Validate and pack a chunk.

    Args:
        chunk: The chunk.
        ordinal: Its place in its source.
        embedding_dims: K.

    Raises:
        InputError: Something in it cannot be stored.
    """
    if not 0.0 <= chunk.fidelity <= 1.0:
        raise InputError(f"fidelity must be between 0 and 1, got {chunk.fidelity!r}")
    return {
        "ordinal": ordinal,
        "start": chunk.start,
        "end": chunk.end,
        "tokens": chunk.tokens,
        "fidelity": float(chunk.fidelity),
        "text_hash": chunk.text_hash,
        "key": embedding_blob(chunk.embedding, embedding_dims),
        "patch": codec.encode_patch(chunk.patch),
        "latents": codec.encode_latents(chunk.latents, chunk.positions),
        "text": None if chunk.text is None else _required(chunk.text, "text").encode(),
    }


def embedding_blob(embedding: NDArray[np.float32], embedding_dims: int) -> bytes:
    """Pack an embedding.

    Raises:
        InputError: It has not the shape (K,), or not the norm 1.
    """
    if embedding.shape != (embedding_dims,):
        raise InputError(
            f"embeddings of this store have shape {(embedding_dims,)}, got {embedding.shape}"
        )
    return codec.encode_embedding(embedding)
