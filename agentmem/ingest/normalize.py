"""Normalizes everything that can be added to a list of parts, or rejects it as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, get_args

from agentmem.ingest.blocks import as_result, call_part, read_block, read_content, read_result
from agentmem.ingest.checks import (
    MAX_CHARS,
    check_label,
    check_metadata,
    check_text,
    check_time,
    describe,
    join_pieces,
)
from agentmem.ingest.scope import combine, message_scope
from agentmem.types import Content, Document, Message, Part, Role
from agentmem_storage.errors import InputError
from agentmem_storage.records import ANY_SCOPE, Scope

_ROLES: dict[str, Role] = {**{role: role for role in get_args(Role)}, "function": "tool"}
_TIME_KEYS = ("created_at", "timestamp", "at", "date")
# Fields of a chat message with content other than its text.
_NOT_TEXT = ("audio", "reasoning_content")
# Iterable, but not ordered sequences of messages.
_NO_SEQUENCE = (bytes, bytearray, memoryview, set, frozenset)


@dataclass(frozen=True, slots=True)
class Normalized:
    """Normalized content.

    Attributes:
        parts: The texts, in order.
        skipped: Number of skipped blocks by type: images and other non-text blocks, thinking,
            "tool_result" for tools that returned nothing, and "blank" for whitespace next to
            other texts.
    """

    parts: tuple[Part, ...]
    skipped: dict[str, int]


def normalize(
    content: Content,
    *,
    created_at: datetime | str | float | None = None,
    metadata: Mapping[str, Any] | None = None,
    scope: Scope = ANY_SCOPE,
    max_chars: int = MAX_CHARS,
) -> Normalized:
    """Convert anything that can be added to parts.

    Accepted are a string (by the user), a `Message`, a `Document`, a message dict in the format of
    OpenAI chat, OpenAI Responses or Anthropic, ``{"name": ..., "content": ...}``, and any list or
    iterator of these. A dict may carry "metadata", scope ids under "user_id", "agent_id" and
    "session_id", and a time under "created_at", "timestamp", "at" or "date".

    Args:
        content: The content.
        created_at: The time of messages without one: a datetime or an ISO 8601 string (UTC if
            without zone), or seconds since 1970.
        metadata: Added to every part; a message's own keys take precedence.
        scope: The scope of messages without their own ids; those must not contradict it.
        max_chars: Maximum number of characters in one text.

    Raises:
        InputError: Something cannot be stored; the message gives its index and says what to do.
    """
    time = check_time(created_at, "created_at")
    shared = check_metadata(metadata, "metadata")
    skipped: Counter[str] = Counter()
    parts: list[Part] = []
    count = 0
    for where, item in _items(content):
        count += 1
        for part in _message_parts(item, skipped, where, max_chars):
            merged = {**shared, **part.metadata}
            whose = combine(scope, part.scope, where)
            said = part.created_at or time
            parts.append(replace(part, created_at=said, metadata=merged, scope=whose))
    if not count:
        raise InputError("there is nothing to add: the list of messages is empty")
    return Normalized(tuple(parts), dict(skipped))


def _items(content: object) -> Iterator[tuple[str, object]]:
    if isinstance(content, str | Message | Document | Mapping):
        yield "the document" if isinstance(content, Document) else "the message", content
    elif isinstance(content, Iterable) and not isinstance(content, _NO_SEQUENCE):
        for index, item in enumerate(content):
            yield f"message {index}", item
    else:
        raise _unsupported(content, "the content")


def _message_parts(
    item: object, skipped: Counter[str], where: str, max_chars: int
) -> Iterator[Part]:
    """Yield the validated parts of one message or document, which must not be empty."""
    skipped_here: Counter[str] = Counter()
    found = list(_read(item, skipped_here, where, max_chars))
    texts = [part for part in found if part.text.strip()]
    if not texts and not skipped_here:
        blank_text = any(part.text for part in found)
        what = "its text is only whitespace" if blank_text else "it has no text"
        raise InputError(f"{where}: {what}; leave it out")
    if blank := sum(1 for part in found if part.text.isspace()):
        skipped_here["blank"] = blank
    skipped.update(skipped_here)
    for part in texts:
        check_text(part.text, where, max_chars)
        yield part


def _read(item: object, skipped: Counter[str], where: str, max_chars: int) -> Iterator[Part]:
    if isinstance(item, str):
        yield Part("message", item, role="user")
    elif isinstance(item, Message):
        yield _read_message(item, where)
    elif isinstance(item, Document):
        yield _read_document(item, where, max_chars)
    elif isinstance(item, Mapping):
        yield from _read_dict(item, skipped, where)
    else:
        raise _unsupported(item, where)


def _read_message(message: Message, where: str) -> Part:
    if not isinstance(message.content, str):
        raise InputError(f"{where}: content must be a string, got {describe(message.content)}")
    role = _role(message.role, where)
    return Part(
        "tool_result" if role == "tool" else "message",
        message.content,
        role=role,
        name=check_label(message.name, "name", where),
        created_at=check_time(message.created_at, where),
        metadata=check_metadata(message.metadata, where),
    )


def _read_document(document: Document, where: str, max_chars: int) -> Part:
    text = document.text
    if not isinstance(text, str):
        if not isinstance(text, Iterable) or isinstance(text, (*_NO_SEQUENCE, Mapping)):
            raise InputError(
                f"{where}: text must be a string or a sequence of strings, got {describe(text)}"
            )
        text = join_pieces(text, where, max_chars)
    return Part(
        "document",
        text,
        title=check_label(document.title, "title", where),
        uri=check_label(document.uri, "uri", where),
        created_at=check_time(document.created_at, where),
        metadata=check_metadata(document.metadata, where),
    )


def _read_dict(item: Mapping[str, Any], skipped: Counter[str], where: str) -> Iterator[Part]:
    role, kind, name = (item.get(key) for key in ("role", "type", "name"))
    time = next((item[key] for key in _TIME_KEYS if item.get(key) is not None), None)
    base = Part(
        "message",
        "",
        role="user",
        created_at=check_time(time, where),
        metadata=check_metadata(item.get("metadata"), where),
        scope=message_scope(item, where),
    )
    if role is not None:
        base = replace(base, role=_role(role, where), name=check_label(name, "name", where))
    elif kind not in (None, "message"):
        # An item of the Responses API, or a single block.
        yield from read_block(item, base, skipped, where)
        return
    elif name is not None:
        base = replace(base, name=check_label(name, "name", where))
    else:
        raise InputError(
            f"{where}: a dict needs a 'role' ({', '.join(_ROLES)}), a 'name' or a 'type'; "
            f"this one has the keys {list(item)!r:.80}"
        )
    content = item.get("content")
    if base.role == "tool":
        result = as_result(base, item.get("tool_call_id"), item.get("is_error"), where)
        yield from read_result(content, result, skipped, where)
        return
    yield from read_content(content, base, skipped, where)
    if (refusal := item.get("refusal")) is not None:
        yield from read_content(refusal, base, skipped, f"{where}, refusal")
    yield from _read_calls(item, base, where)
    for key in _NOT_TEXT:
        if item.get(key):
            skipped[key] += 1


def _read_calls(item: Mapping[str, Any], base: Part, where: str) -> Iterator[Part]:
    """Yield the tool calls of an OpenAI chat message, which are separate from its content."""
    calls: list[object] = []
    if (tool_calls := item.get("tool_calls")) is not None:
        if not isinstance(tool_calls, list | tuple):
            raise InputError(f"{where}: 'tool_calls' must be a list, got {tool_calls!r:.80}")
        calls += tool_calls
    if (deprecated := item.get("function_call")) is not None:
        calls.append({"function": deprecated})
    for number, call in enumerate(calls):
        where_call = f"{where}, tool call {number}"
        body = None
        if isinstance(call, Mapping):
            body = call.get("function") or call.get("custom")
        if not isinstance(call, Mapping) or not isinstance(body, Mapping):
            raise InputError(
                f"{where_call}: expected {{'function': {{'name', ...}}}}, got {call!r:.80}"
            )
        arguments = body.get("arguments", body.get("input"))
        yield call_part(body.get("name"), arguments, call.get("id"), base, where_call)


def _role(role: object, where: str) -> Role:
    if not isinstance(role, str) or role not in _ROLES:
        raise InputError(f"{where}: unknown role {role!r}; use one of {', '.join(_ROLES)}")
    return _ROLES[role]


def _unsupported(value: object, where: str) -> InputError:
    return InputError(
        f"{where} is {describe(value)}; give a string, a message dict, a Message, a Document, or a "
        "list of these (of an API's response object, its .model_dump())"
    )
