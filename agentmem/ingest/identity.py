"""What identifies a memory: content hash, lexical terms, and the preface with its speaker.

Deduplication rule: two sources of one scope are the same memory if kind, role, name, title, uri,
text and the time given by the caller, if any, are equal. "I am vegan", added twice without times,
is one memory; added with two times, it is two. Duplicates are not stored again; the receipt gives
the ids of the existing memory.
"""

from __future__ import annotations

import hashlib
import json

from agentmem.models.base import Tokenizer
from agentmem.types import Part
from agentmem_storage.records import LatentsRecord, SourceRecord

# Tokens; longer titles are cut, so that most of the embedder's input is the chunk itself.
_MAX_PREFACE = 32


def content_hash(part: Part) -> bytes:
    """The hash that deduplication compares, by the rule above."""
    time = None if part.created_at is None else part.created_at.isoformat()
    head = [part.kind, part.role, part.name, part.title, part.uri, time]
    return hashlib.sha256(json.dumps([*head, part.text]).encode()).digest()


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
