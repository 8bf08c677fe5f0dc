"""What identifies a memory: content hash, identity, lexical terms, and the preface of its speaker.

Two sources of one scope have the same content if kind, role, name, title, uri and text are equal,
and metadata, which include the tool, the id of its call and whether it failed. Whether the second
is a duplicate of the first depends on what says when it was said:

- an external id, the caller's own: it says which source it is. If the content or the metadata are
  other ones, the second takes the place of the first;
- the id in a message, which its vendor made (``message_id`` in its metadata): it is, if the ids
  are equal too; metadata do not count then;
- a time given by the caller: it is, if the times are equal too;
- a document, or a system message, which holds for a whole conversation: it is;
- anything else: it is, if it repeats a call, or a transcript at the same place; see
  `agentmem_storage.sql.writing.replays`.

Duplicates are not stored again; the receipt gives the ids of the existing memory. All else are
occurrences, stored with their own time and metadata.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from agentmem.models.base import Tokenizer
from agentmem.types import MESSAGE_ID, Part
from agentmem_storage.records import Identity, LatentsRecord, SourceKey, SourceRecord

# Tokens; longer titles are cut, so that most of the embedder's input is the chunk itself.
_MAX_PREFACE = 32
# Instructions for a whole conversation, which a transcript repeats whatever part of it it is.
_STANDING = ("system", "developer")


def content_hash(part: Part) -> bytes:
    """The hash of a part's content, of its time if it was given, and of its own id.

    With an external id, neither of a time, which may be given now and not the next time, nor of the
    id that is in its metadata, which may change.
    """
    if part.external_id is not None:
        named = [part.kind, part.role, part.name, part.title, part.uri, [part.external_id]]
        return hashlib.sha256(json.dumps([*named, part.text]).encode()).digest()
    time = None if part.created_at is None else part.created_at.isoformat()
    head: list[Any] = [part.kind, part.role, part.name, part.title, part.uri, time]
    if (id := part.metadata.get(MESSAGE_ID)) is not None:
        tool = [part.metadata.get(key) for key in ("tool", "tool_call_id", "is_error")]
        head.append([id, part.repeat, *tool])
    return hashlib.sha256(json.dumps([*head, part.text]).encode()).digest()


def source_key(part: Part) -> SourceKey:
    """What decides whether a scope already has a part, by the rules above."""
    identity: Identity = "sequence"
    if part.external_id is not None:
        identity = "id"
    elif timeless(part):
        identity = "content" if part.metadata.get(MESSAGE_ID) is None else "hash"
    elif part.created_at is not None:
        identity = "time"
    return SourceKey(
        content_hash(part),
        identity,
        part.metadata,
        part.external_id,
        part.created_at,
        part.expires_at,
    )


def timeless(source: Part | SourceRecord) -> bool:
    """Whether a source is the same as one of equal content whenever that was said."""
    has_id = source.external_id is not None or source.metadata.get(MESSAGE_ID) is not None
    return has_id or source.kind == "document" or source.role in _STANDING


def text_hash(text: str) -> bytes:
    """SHA-256 of the UTF-8 bytes of a text, as stored with each chunk."""
    return hashlib.sha256(text.encode("utf-8")).digest()


def terms(text: str, source: Part | SourceRecord) -> str:
    """The text to index for a chunk: its text, speaker and title."""
    return "\n".join(word for word in (source.name, source.title, text) if word)


def preface(source: Part | SourceRecord | LatentsRecord) -> str:
    """The speaker or title that precedes a chunk when it is embedded or reranked; may be empty."""
    if source.name:
        return f"{source.name}: "
    return f"{source.title}\n" if source.title else ""


def preface_ids(text: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    """Token ids of a preface."""
    return tuple(tokenizer.encode(text)[:_MAX_PREFACE])
