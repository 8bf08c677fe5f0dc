"""Input files of the evaluation commands: corpus records, and conversations with questions.

Conversations come in two formats. LoCoMo's own: one JSON list (see `agentmem.evaluation.locomo`).
And a plain one: JSON lines, optionally compressed with Zstandard, one conversation per line:

    {"id": "c1",
     "messages": [{"id": "m1", "name": "Ana", "content": "…", "at": "2026-05-08T13:56:00Z"},
                  {"id": "m2", "role": "assistant", "content": "…"}],
     "questions": [{"question": "…", "evidence": ["m1"], "category": "temporal"}]}

A message has a ``name``, a ``role`` or both; ``at`` (ISO 8601, UTC if it names no zone) and
``category`` are optional.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agentmem.corpus import read_records, record_texts
from agentmem.errors import InputError
from agentmem.evaluation.conversations import (
    Conversation,
    ConversationSet,
    LeftOut,
    Question,
    Turn,
    gather,
)
from agentmem.evaluation.locomo import read_locomo

__all__ = [
    "Conversation",
    "ConversationSet",
    "LeftOut",
    "Question",
    "Turn",
    "read_conversations",
    "read_records",
    "record_texts",
]


def read_conversations(path: str | os.PathLike[str]) -> ConversationSet:
    """Read a file of conversations; its first character decides between the two formats.

    Raises:
        InputError: The file cannot be read, or has neither format; names what is wrong and where.
        MissingExtraError: The file is compressed and ``zstandard`` is not installed.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            is_list = file.read(256).lstrip()[:1] == b"["
        return read_locomo(path) if is_list else gather(_plain(path))
    except OSError as error:
        raise InputError(f"cannot read {path.name!r}: {error.strerror}") from error


def _plain(path: Path) -> Iterator[Conversation]:
    for number, record in enumerate(read_records(path), start=1):
        try:
            conversation = Conversation(
                id=_text(record, "id"),
                turns=tuple(map(_turn, _objects(record, "messages"))),
                questions=tuple(map(_question, _objects(record, "questions"))),
            )
        except ValueError as error:
            raise InputError(f"{path.name}: conversation {number}: {error}") from error
        yield conversation


def _turn(message: dict[str, Any]) -> Turn:
    name, at = _optional(message, "name"), None
    role = _optional(message, "role")
    if name is None and role is None:
        raise ValueError(f"a message needs a 'name' or a 'role', got {sorted(message)!r}")
    if (when := _optional(message, "at")) is not None:
        at = datetime.fromisoformat(when)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return Turn(_text(message, "id"), name, role or "user", _text(message, "content"), at)


def _question(item: dict[str, Any]) -> Question:
    evidence = item.get("evidence")
    if not isinstance(evidence, list) or not all(isinstance(id, str) for id in evidence):
        raise ValueError(f"'evidence' must be a list of message ids, got {evidence!r}")
    return Question(_text(item, "question"), tuple(evidence), _optional(item, "category"))


def _text(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{key!r} must be non-empty text, got {value!r}")
    return value


def _optional(record: dict[str, Any], key: str) -> str | None:
    return None if record.get(key) is None else _text(record, key)


def _objects(record: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = record.get(key)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError(f"{key!r} must be a list of objects, got {type(value).__name__}")
    return value
