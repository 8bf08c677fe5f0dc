"""What a file is read as: items, each of which `Memory.add` takes in one call."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentmem.ingest.scope import SCOPE_KEYS, message_scope
from agentmem.ingest.shapes.documents import is_document
from agentmem.ingest.shapes.fields import find_time
from agentmem.types import Document
from agentmem_storage.records import Scope

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Item:
    """A conversation, some messages of one scope, or some documents.

    Attributes:
        where: Names it in errors.
        content: What `Memory.add` takes.
        scope: Whose it is, as far as the file says so.
        metadata: Of all of it.
    """

    where: str
    content: Sequence[Message | Document]
    scope: Scope = Scope()
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Imported:
    """A file that was recognized.

    Attributes:
        form: What it is, in words.
        items: What is in it, in order.
        skipped: Number of messages that are not shown in the program they come from, by kind.
    """

    form: str
    items: tuple[Item, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)


def by_scope(where: str, messages: Iterator[Message] | Sequence[Message]) -> Iterator[Item]:
    """Messages as items, one for each scope that they name, without its ids in the messages.

    Raises:
        InputError: a scope id is not a string.
    """
    groups: dict[Scope, list[Message]] = {}
    for message in messages:
        own = {key: value for key, value in message.items() if key not in SCOPE_KEYS}
        groups.setdefault(message_scope(message, where), []).append(own)
    for scope, group in groups.items():
        yield Item(where, with_ids(group), scope)


def with_ids(messages: Sequence[Message]) -> list[Message]:
    """Messages, those without an id or a time with an id made of their content.

    The second of two equal ones has another id than the first.
    """
    seen: Counter[str] = Counter()
    found: list[Message] = []
    for message in messages:
        named = message.get("id") not in (None, "") or find_time(message) is not None
        if not named and not is_document(message):
            plain = json.dumps(message, sort_keys=True, default=str)
            digest = hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:32]
            message = {**message, "id": f"{digest}-{seen[digest]}"}
            seen[digest] += 1
        found.append(message)
    return found


def text_of(value: object) -> str | None:
    """A string that is not blank; None for anything else."""
    return value if isinstance(value, str) and value.strip() else None
