"""What a memory is known by: its hashes, its lexical terms, and the words that introduce it.

Deduplication rule: two sources of one scope are the same memory if kind, role, name, title, uri
and text are equal and so is the time, where the caller gave one. "I am vegan", said twice without
times, is one memory; said at two times, it is two. What is the same is not stored again; the
receipt names the ids that hold it.
"""

from __future__ import annotations

import hashlib
import json

from agentmem.models.base import Tokenizer
from agentmem.types import Part
from agentmem_storage.records import LatentsRecord, SourceRecord

# Tokens: of a longer title the beginning, so that the chunk itself has the room.
_MOST = 32


def content_hash(part: Part) -> bytes:
    """What deduplication compares, by the rule above."""
    time = None if part.created_at is None else part.created_at.isoformat()
    head = [part.kind, part.role, part.name, part.title, part.uri, time]
    return hashlib.sha256(json.dumps([*head, part.text]).encode()).digest()


def text_hash(text: str) -> bytes:
    """SHA-256 of a text's UTF-8 bytes, as it stands on a chunk's row."""
    return hashlib.sha256(text.encode("utf-8")).digest()


def terms(text: str, source: Part | SourceRecord) -> str:
    """What the lexical index is given for a chunk: its text, its speaker and its title."""
    return "\n".join(word for word in (source.name, source.title, text) if word)


def preface(source: Part | SourceRecord | LatentsRecord) -> str:
    """What stands before a chunk where its key is made and where it is reranked; may be empty."""
    if source.name:
        return f"{source.name}: "
    return f"{source.title}\n" if source.title else ""


def preface_ids(told: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    """Token ids of a preface."""
    return tuple(tokenizer.encode(told)[:_MOST])
