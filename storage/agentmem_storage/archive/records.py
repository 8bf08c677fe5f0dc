"""Records: how the memories of a file follow each other in its stream.

The stream begins with the manifest, a JSON object. Then comes each source, a JSON object that says
how many chunks it has, and its chunks: a row of numbers, and the blobs of the row in the store as
they are, see `agentmem_storage.sql.schema.codec`. Last come the links between sources, JSON objects
too. Every record is preceded by its length, an uint32.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from agentmem_storage.archive.blocks import BlockReader, BlockWriter
from agentmem_storage.archive.errors import damaged
from agentmem_storage.errors import InputError
from agentmem_storage.timestamps import from_micros

_MOST_JSON: Final = 2**26  # nearly all of it metadata
_MOST_CHUNK: Final = 2**20
# All chunks of one source, which stand in memory together.
_MOST_SOURCE: Final = 2**28
_LENGTH = struct.Struct("<I")
# ordinal, start, end, tokens, episode, fidelity, text hash; lengths of key, latents, patch and text
_CHUNK = struct.Struct("<IQQIqd32sIIII")
_NONE: Final = 2**32 - 1
_NO_EPISODE: Final = -1
HASH_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a file says of itself.

    Attributes:
        model: Fingerprint of the model bundle and embedder of the store it was written from.
        latents: Fingerprint of what encoded the latents, and can decode them.
        embedder: Display name of the embedder.
        dims: K, the number of dims of its embeddings.
        sources: Number of messages and documents.
        chunks: Number of chunks.
        links: Number of links.
    """

    model: str
    latents: str
    embedder: str
    dims: int
    sources: int
    chunks: int
    links: int


@dataclass(frozen=True, slots=True)
class ArchivedChunk:
    """A chunk as its row has it; the blobs with their headers and checksums.

    ``episode`` is its number among the episodes of its scope in this file, from 1, in the order in
    which they appear; None if it is alone.
    """

    ordinal: int
    start: int
    end: int
    tokens: int
    episode: int | None
    fidelity: float
    text_hash: bytes
    key: bytes
    latents: bytes
    patch: bytes | None
    text: bytes | None


@dataclass(frozen=True, slots=True)
class ArchivedSource:
    """A message or document as its row has it, without ids; times in microseconds since 1970.

    Attributes:
        content_hash: None if a part of it has been forgotten.
        metadata: JSON; None if there are none.
        changed: Whether its content or metadata were others once.
        external_id: The id that its caller gave it.
        expires_at: From when on it is in no result; None for never.
        chunks: Those that are left, in order.
    """

    user_id: str | None
    agent_id: str | None
    session_id: str | None
    kind: str
    role: str | None
    name: str | None
    title: str | None
    uri: str | None
    created_at: int
    added_at: int
    chars: int
    content_hash: bytes | None
    metadata: bytes | None
    changed: bool
    external_id: str | None
    expires_at: int | None
    chunks: tuple[ArchivedChunk, ...]


@dataclass(frozen=True, slots=True)
class ArchivedLink:
    """A source that supersedes another; both are given by their indices in the file, from 0.

    ``score`` and ``linked_at`` are as in `agentmem_storage.records.Link`; the time is in
    microseconds since 1970.
    """

    old: int
    new: int
    score: float | None
    linked_at: int


# The fields of each JSON object, and which types they have.
_MANIFEST_TYPES: Final[dict[str, tuple[type, ...]]] = {
    **dict.fromkeys(("dims", "sources", "chunks", "links"), (int,)),
    **dict.fromkeys(("model", "latents", "embedder"), (str,)),
}
_WORD: Final = (str, type(None))
_SOURCE_TYPES: Final[dict[str, tuple[type, ...]]] = {
    **dict.fromkeys(("user_id", "agent_id", "session_id"), _WORD),
    "kind": (str,),
    **dict.fromkeys(("role", "name", "title", "uri"), _WORD),
    **dict.fromkeys(("created_at", "added_at", "chars", "chunks"), (int,)),
    **dict.fromkeys(("content_hash", "metadata"), _WORD),
    "changed": (bool,),
    "external_id": _WORD,
    "expires_at": (int, type(None)),
}
_LINK_TYPES: Final[dict[str, tuple[type, ...]]] = {
    **dict.fromkeys(("old", "new", "linked_at"), (int,)),
    "score": (float, type(None)),
}
_WHOLE: Final = 2**63


def write_manifest(writer: BlockWriter, manifest: Manifest) -> None:
    """Write what a file says of itself."""
    _write(writer, _json(_values(manifest)))


def write_source(writer: BlockWriter, source: ArchivedSource) -> None:
    """Write a source and its chunks.

    Raises:
        InputError: it is larger than a reader accepts.
    """
    values = _values(source)
    values["chunks"] = len(source.chunks)
    if source.content_hash is not None:
        values["content_hash"] = source.content_hash.hex()
    if source.metadata is not None:
        values["metadata"] = source.metadata.decode()
    head, chunks = _json(values), [_pack(chunk) for chunk in source.chunks]
    if len(head) > _MOST_JSON or sum(map(len, chunks)) > _MOST_SOURCE:
        raise InputError(
            f"a {source.kind} of {source.chars:,} characters with {len(head):,} bytes of metadata "
            f"and other fields is too large to be read again: leave it out with a filter, or copy "
            f"the whole store as a backup"
        )
    _write(writer, head)
    for chunk in chunks:
        _write(writer, chunk)


def write_link(writer: BlockWriter, link: ArchivedLink) -> None:
    """Write a link, after all sources."""
    _write(writer, _json(_values(link)))


def read_manifest(reader: BlockReader, label: str) -> Manifest:
    """Read what a file says of itself.

    Raises:
        ArchiveError: it is damaged.
    """
    values = _object(_read(reader, _MOST_CHUNK, label), _MANIFEST_TYPES, label)
    return Manifest(**values)


def read_records(
    reader: BlockReader, manifest: Manifest, label: str
) -> Iterator[ArchivedSource | ArchivedLink]:
    """Read all sources, then all links, and the file to its end.

    Raises:
        ArchiveError: it is damaged.
    """
    chunks = 0
    for _ in range(manifest.sources):
        values = _object(_read(reader, _MOST_JSON, label), _SOURCE_TYPES, label)
        count = values["chunks"]
        chunks += count
        if count < 1 or chunks > manifest.chunks:
            raise damaged(label, "it has other numbers of memories than its manifest says")
        size, found = 0, []
        for _ in range(count):
            data = _read(reader, _MOST_CHUNK, label)
            size += len(data)
            if size > _MOST_SOURCE:
                raise damaged(label, "a message or document in it is too large")
            found.append(_unpack(data, label))
        yield _source(values, tuple(found), label)
    if chunks != manifest.chunks:
        raise damaged(label, "it has other numbers of memories than its manifest says")
    for _ in range(manifest.links):
        link = ArchivedLink(**_object(_read(reader, _MOST_CHUNK, label), _LINK_TYPES, label))
        if not _links(link, manifest.sources):
            raise damaged(label, "a link in it joins what it cannot join")
        yield link
    reader.finish()


def _links(link: ArchivedLink, sources: int) -> bool:
    """Whether a link joins two of so many sources, and has a score and a time that can be."""
    try:
        from_micros(link.linked_at)
    except ValueError:
        return False
    if link.score is not None and not 0.0 <= link.score <= 1.0:
        return False
    return link.old != link.new and all(0 <= one < sources for one in (link.old, link.new))


def _values(record: Manifest | ArchivedSource | ArchivedLink) -> dict[str, Any]:
    return {one.name: getattr(record, one.name) for one in fields(record)}


def _source(
    values: dict[str, Any], chunks: tuple[ArchivedChunk, ...], label: str
) -> ArchivedSource:
    try:
        if values["content_hash"] is not None:
            values["content_hash"] = bytes.fromhex(values["content_hash"])
        if values["metadata"] is not None:
            values["metadata"] = values["metadata"].encode()
    except ValueError:
        raise damaged(label, "a field of a memory is not what it should be") from None
    return ArchivedSource(**{**values, "chunks": chunks})


def _json(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()


def _object(data: bytes, types: Mapping[str, tuple[type, ...]], label: str) -> dict[str, Any]:
    """A JSON object with exactly these fields, each of one of its types."""
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        raise damaged(label, "a record is not JSON") from None
    if not isinstance(values, dict) or values.keys() != types.keys():
        raise damaged(label, "a record has other fields than those of its format")
    for name, value in values.items():
        # By type, because true is an int otherwise.
        fits = type(value) in types[name]
        if not fits or (type(value) is int and not -_WHOLE <= value < _WHOLE):
            raise damaged(label, f"the field {name!r} of a record has a value it cannot have")
    return values


def _pack(chunk: ArchivedChunk) -> bytes:
    blobs = (chunk.key, chunk.latents, chunk.patch, chunk.text)
    head = _CHUNK.pack(
        chunk.ordinal,
        chunk.start,
        chunk.end,
        chunk.tokens,
        _NO_EPISODE if chunk.episode is None else chunk.episode,
        chunk.fidelity,
        chunk.text_hash,
        *(_NONE if blob is None else len(blob) for blob in blobs),
    )
    return b"".join((head, *(blob for blob in blobs if blob is not None)))


def _unpack(data: bytes, label: str) -> ArchivedChunk:
    if len(data) < _CHUNK.size:
        raise damaged(label, "a record of a memory is too short")
    ordinal, start, end, tokens, episode, fidelity, text_hash, *lengths = _CHUNK.unpack_from(data)
    if sum(length for length in lengths if length != _NONE) != len(data) - _CHUNK.size:
        raise damaged(label, "a record of a memory has another length than it says")
    blobs: list[bytes | None] = []
    at = _CHUNK.size
    for length in lengths:
        blobs.append(None if length == _NONE else data[at : at + length])
        at += 0 if length == _NONE else length
    key, latents, patch, text = blobs
    if key is None or latents is None:
        raise damaged(label, "a memory has no latents or no embedding")
    number = None if episode == _NO_EPISODE else episode
    return ArchivedChunk(
        ordinal, start, end, tokens, number, fidelity, text_hash, key, latents, patch, text
    )


def _write(writer: BlockWriter, data: bytes) -> None:
    writer.write(_LENGTH.pack(len(data)))
    writer.write(data)


def _read(reader: BlockReader, most: int, label: str) -> bytes:
    (length,) = _LENGTH.unpack(reader.read(_LENGTH.size))
    if length > most:
        raise damaged(label, f"a record claims to have {length:,} bytes")
    return reader.read(length)
