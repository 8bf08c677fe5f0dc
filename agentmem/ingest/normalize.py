"""Normalizes everything that can be added to a list of parts, or rejects it as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import accumulate
from typing import Any

from agentmem.errors import BlankError
from agentmem.ingest.checks import (
    MAX_CHARS,
    NO_SEQUENCE,
    check_metadata,
    check_text,
    check_time,
    unsupported,
)
from agentmem.ingest.external_ids import check_single, name_content
from agentmem.ingest.order import said_order
from agentmem.ingest.parts import read_parts
from agentmem.ingest.scope import combine
from agentmem.ingest.shapes.documents import open_document
from agentmem.ingest.shapes.envelopes import open_envelope, paired, plain
from agentmem.ingest.shapes.fields import nested_key
from agentmem.types import Content, Document, Message, Part
from agentmem_storage.errors import InputError
from agentmem_storage.records import ANY_SCOPE, Scope
from agentmem_storage.text import is_blank, shown


@dataclass(frozen=True, slots=True)
class Normalized:
    """Normalized content.

    Attributes:
        parts: The texts, in the order in which they were said, see `agentmem.ingest.order`.
        skipped: Number of skipped blocks by type: images and other non-text blocks, thinking,
            "tool_result" for tools that returned nothing, and "blank" for whitespace next to
            other texts.
        indices: For each part, its index in the order in which the texts were given.
    """

    parts: tuple[Part, ...]
    skipped: dict[str, int]
    indices: tuple[int, ...] = field(default=(), compare=False)


def normalize(
    content: Content,
    *,
    created_at: object = None,
    metadata: Mapping[str, Any] | None = None,
    scope: Scope = ANY_SCOPE,
    max_chars: int = MAX_CHARS,
    external_id: object = None,
    expires_at: datetime | None = None,
) -> Normalized:
    """Convert anything that can be added to parts.

    Accepted are a string (by the user), a `Message`, a `Document`, a message in any of the shapes
    of `agentmem.ingest.shapes`, as a dict or as an object of the vendor's SDK, ``{"name": ...,
    "content": ...}``, ``{"document": {"text": ...}}``, LangChain's ``(role, text)``, and any list
    or iterator of these. A dict may carry "metadata", scope ids under "user_id", "agent_id" and
    "session_id", a time under "created_at", "timestamp", "date" or another usual key, an "id", an
    "external_id" and a time under "expires_at".

    A message without any text is refused if it is alone, and counted as blank among others.

    Args:
        content: The content.
        created_at: The time of messages without one: a datetime or an ISO 8601 string (UTC if
            without zone), or seconds since 1970.
        metadata: Added to every part; a message's own keys take precedence.
        scope: The scope of messages without their own ids; those must not contradict it.
        max_chars: Maximum number of characters in one text.
        external_id: The external id of the content, which must be a single text.
        expires_at: When messages expire that do not say so themselves, in UTC.

    Raises:
        InputError: Something cannot be stored; the message gives its index and says what to do.
        BlankError: There is no text at all.
    """
    time = check_time(created_at, "created_at")
    shared = check_metadata(metadata, "metadata")
    skipped: Counter[str] = Counter()
    messages: list[list[Part]] = []
    blank: BlankError | None = None
    count = 0
    for where, item in _items(content, skipped):
        count += 1
        try:
            found = _message_parts(item, skipped, where, max_chars)
        except RecursionError:
            raise InputError(f"{where}: its content is nested too deeply; flatten it") from None
        except BlankError as error:
            blank = blank or error
            skipped["blank"] += 1
            continue
        except InputError:
            raise
        except ValueError as error:  # of an array, or of an integer of thousands of digits
            raise InputError(
                f"{where}: it cannot be read ({error}); give strings, lists, dicts and numbers"
            ) from error
        for at, part in enumerate(found):
            found[at] = replace(
                part,
                metadata={**shared, **part.metadata},
                scope=combine(scope, part.scope, where),
                expires_at=part.expires_at or expires_at,
            )
        check_single(found, where)
        if found:
            messages.append(found)
    if not count and not skipped:
        raise InputError("there is nothing to add: the list of messages is empty")
    if blank is not None and not messages and set(skipped) == {"blank"}:
        raise blank
    messages = name_content(messages, external_id)
    parts, indices = _in_said_order(messages)
    parts = [replace(part, created_at=part.created_at or time) for part in parts]
    return Normalized(tuple(_in_order(parts)), dict(skipped), tuple(indices))


def _in_said_order(messages: list[list[Part]]) -> tuple[list[Part], list[int]]:
    """The parts of messages in the order in which they were said, and their indices as given."""
    begins = [0, *accumulate(len(parts) for parts in messages)]
    order = said_order([parts[0].created_at for parts in messages])
    indices = [begins[at] + part for at in order for part in range(len(messages[at]))]
    return [part for at in order for part in messages[at]], indices


def _in_order(parts: list[Part]) -> list[Part]:
    """Messages without a time, among others of their scope, with a time that keeps their place.

    It is that of the message before them, so that the first ones have that of the first with one.
    Documents are no part of the conversation.
    """
    placed = list(parts)
    for indexes in (range(len(parts)), reversed(range(len(parts)))):
        times: dict[Scope, datetime] = {}
        for at in indexes:
            part = placed[at]
            if part.kind == "document":
                continue
            if (known := part.created_at or part.ordered_at) is not None:
                times[part.scope] = known
            elif (near := times.get(part.scope)) is not None:
                placed[at] = replace(part, ordered_at=near)
    return placed


def _items(content: object, skipped: Counter[str]) -> Iterator[tuple[str, object]]:
    """Yield each message and document, with its name in errors."""
    content = paired(plain(content))
    if isinstance(content, str | Message | Document):
        yield "the document" if isinstance(content, Document) else "the message", content
    elif isinstance(content, Mapping):
        yield from open_envelope(content, "the message", skipped)
    elif isinstance(content, Iterable) and not isinstance(content, NO_SEQUENCE):
        for index, item in enumerate(content):
            item = paired(plain(item), listed=True)
            if isinstance(item, Mapping):
                yield from open_envelope(item, f"message {index}", skipped)
            else:
                yield f"message {index}", item
    else:
        raise unsupported(content, "the content")


def _message_parts(item: object, skipped: Counter[str], where: str, max_chars: int) -> list[Part]:
    """The validated parts of one message or document.

    Raises:
        InputError: it cannot be stored.
        BlankError: it is a message with neither text nor anything that is counted as skipped.
    """
    item = open_document(item, where)
    skipped_here: Counter[str] = Counter()
    found = list(read_parts(item, skipped_here, where, max_chars))
    texts = [part for part in found if not is_blank(part.text)]
    if not texts and not skipped_here:
        if isinstance(item, Mapping) and (path := nested_key(item)) is not None:
            raise InputError(f"{where}: give its text as 'content', not as {shown(path)}")
        blank_text = any(part.text for part in found)
        what = "its text is only whitespace, or invisible" if blank_text else "it has no text"
        error = InputError if isinstance(item, Document) else BlankError
        raise error(f"{where}: {what}; leave it out")
    if blank := sum(1 for part in found if part.text and is_blank(part.text)):
        skipped_here["blank"] += blank
    skipped.update(skipped_here)
    for part in texts:
        check_text(part.text, where, max_chars)
    return _numbered(texts)


def _numbered(parts: list[Part]) -> list[Part]:
    """Parts of one message; of equal ones, each later one with its number."""
    seen: Counter[tuple[str, str]] = Counter()
    numbered = []
    for part in parts:
        key = (part.kind, part.text)
        numbered.append(replace(part, repeat=seen[key]) if seen[key] else part)
        seen[key] += 1
    return numbered
