"""Checks a source of a file, which anybody may have written, before it becomes rows."""

from __future__ import annotations

import hashlib
import math

from agentmem_storage.archive.records import HASH_BYTES, ArchivedChunk, ArchivedSource
from agentmem_storage.errors import InputError
from agentmem_storage.metadata import exceeds_depth, metadata_json, read_metadata, too_deep
from agentmem_storage.records import ChunkRecord, Scope
from agentmem_storage.sql.schema import codec
from agentmem_storage.sql.schema.rows import KINDS, check_scope, storable
from agentmem_storage.sql.schema.tiling import may_follow
from agentmem_storage.text import is_blank
from agentmem_storage.timestamps import from_micros

_NO_ID = 0


def scope_of(source: ArchivedSource) -> Scope:
    """Whose it is."""
    return Scope(source.user_id, source.agent_id, source.session_id)


def archived_records(source: ArchivedSource, dims: int) -> list[ChunkRecord]:
    """The chunks of a source as records, which have no ids yet, once all of it has been checked.

    Args:
        source: A source of a file.
        dims: K of its embeddings.

    Raises:
        InputError: A field has a value that `agentmem_storage.store.Store.add` would refuse.
        CorruptRecordError: A blob does not match its checksum.
    """
    if source.kind not in KINDS:
        raise InputError(f"unknown kind {source.kind!r:.200}")
    check_scope(scope_of(source))
    if source.external_id is not None and (
        is_blank(source.external_id) or "\0" in source.external_id
    ):
        raise InputError("an external id is blank, or has a NUL character")
    for name in ("role", "name", "title", "uri", "external_id"):
        storable(getattr(source, name), name)
    try:
        from_micros(source.created_at)
        from_micros(source.added_at)
        from_micros(source.expires_at or 0)
    except ValueError as error:
        raise InputError(str(error)) from None
    _check_metadata(source.metadata)
    if source.content_hash is not None and len(source.content_hash) != HASH_BYTES:
        raise InputError(f"a content hash has {HASH_BYTES} bytes")
    _check_spans(source)
    return [_record(chunk, dims) for chunk in source.chunks]


def _check_metadata(encoded: bytes | None) -> None:
    if encoded is None:
        return
    try:
        metadata = read_metadata(encoded)
    except ValueError as error:
        raise InputError(f"metadata are {error}") from None
    if exceeds_depth(metadata):
        raise InputError(too_deep("metadata"))
    metadata_json(metadata)


def _check_spans(source: ArchivedSource) -> None:
    """Chunks stand in their source one after the other; without gaps, unless parts are missing."""
    due, end = 0, 0
    complete = source.content_hash is not None
    for chunk in source.chunks:
        fits = may_follow(chunk.ordinal, chunk.start, due=due, end=end, complete=complete)
        if not fits or chunk.end <= chunk.start:
            raise InputError("the places of chunks in their source do not fit each other")
        due, end = chunk.ordinal + 1, chunk.end
    if end > source.chars or (complete and end != source.chars):
        raise InputError("the places of chunks do not fit the length of their source")


def _record(chunk: ArchivedChunk, dims: int) -> ChunkRecord:
    if not 0.0 <= chunk.fidelity <= 1.0 or math.copysign(1.0, chunk.fidelity) < 0:
        raise InputError("a fidelity is not between 0 and 1")
    if chunk.tokens < 1 or (chunk.episode is not None and chunk.episode < 1):
        raise InputError("a number of tokens or of an episode is below 1")
    latents, positions = codec.decode_latents(chunk.latents, _NO_ID)
    patch = codec.decode_patch(chunk.patch, _NO_ID)
    # At most what it is without compression, in ids of 32 bits.
    if len(patch) > 1 + 4 * chunk.tokens:
        raise InputError("a patch is longer than what it corrects")
    embedding = codec.decode_embedding(chunk.key, _NO_ID)
    if embedding.shape != (dims,) or not math.isfinite(float(embedding.sum())):
        raise InputError(f"an embedding is not one of {dims!r} dims")
    if chunk.text is not None and hashlib.sha256(chunk.text).digest() != chunk.text_hash:
        raise InputError("a text does not match its hash")
    blobs = (chunk.latents, chunk.key, chunk.patch, chunk.text)
    return ChunkRecord(
        id=_NO_ID,
        source_id=_NO_ID,
        ordinal=chunk.ordinal,
        start=chunk.start,
        end=chunk.end,
        tokens=chunk.tokens,
        latents=latents,
        positions=positions,
        patch=patch,
        fidelity=chunk.fidelity,
        text_hash=chunk.text_hash,
        stored_bytes=sum(len(blob) for blob in blobs if blob),
        text=None if chunk.text is None else str(chunk.text, "utf-8"),
        embedding=embedding,
    )
