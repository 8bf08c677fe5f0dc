"""Reads one message or document, in whatever shape it was given, as its parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from agentmem.ingest.checks import (
    NO_SEQUENCE,
    check_label,
    check_metadata,
    check_time,
    describe,
    join_pieces,
    unsupported,
)
from agentmem.ingest.external_ids import check_external_id
from agentmem.ingest.scope import message_scope
from agentmem.ingest.shapes.beside import is_result
from agentmem.ingest.shapes.block_types import call_ids, is_known, is_vendors
from agentmem.ingest.shapes.blocks import (
    read_attachments,
    read_block,
    read_content,
    read_invocations,
    read_once,
)
from agentmem.ingest.shapes.envelopes import plain_blocks
from agentmem.ingest.shapes.fields import (
    ROLES,
    read_contents,
    read_id,
    read_refusal,
    read_role,
    read_time,
    role_of_type,
    unread_key,
)
from agentmem.ingest.shapes.plain import is_silent, plain_text
from agentmem.ingest.shapes.streams import is_error
from agentmem.ingest.shapes.tool_messages import read_calls, read_results, read_tool_message
from agentmem.types import MESSAGE_ID, Document, Message, Part
from agentmem_storage.errors import InputError
from agentmem_storage.text import shown

# Types of items that a program has made of what was said before: nobody said them.
_SUMMARIES = ("summary", "compaction")
# Fields of a chat message with content other than its text.
_NOT_TEXT = ("reasoning_content", "reasoning", "thinking")


def read_parts(item: object, skipped: Counter[str], where: str, max_chars: int) -> Iterator[Part]:
    """Yield the parts of one message or document; their texts may be blank.

    Args:
        item: A string, a `Message`, a `Document`, or a dict in any of the shapes of
            `agentmem.ingest.shapes`.
        skipped: Counts what has no text, by type.
        where: Identifies the message in errors.
        max_chars: Maximum number of characters in one text.

    Raises:
        InputError: It is none of these, or cannot be read.
    """
    if isinstance(item, str):
        yield Part("message", item, role="user")
    elif isinstance(item, Message):
        yield _read_message(item, where)
    elif isinstance(item, Document):
        yield _read_document(item, where, max_chars)
    elif isinstance(item, Mapping):
        yield from _read_dict(item, skipped, where)
    else:
        raise unsupported(item, where)


def _read_message(message: Message, where: str) -> Part:
    if not isinstance(message.content, str):
        raise InputError(f"{where}: content must be a string, got {describe(message.content)}")
    role = read_role(message.role, where)
    return Part(
        "tool_result" if role == "tool" else "message",
        message.content,
        role=role,
        name=check_label(message.name, "name", where),
        created_at=check_time(message.created_at, where),
        metadata=check_metadata(message.metadata, where),
        external_id=check_external_id(message.external_id, where),
        expires_at=check_time(message.expires_at, f"{where}: expires_at"),
    )


def _read_document(document: Document, where: str, max_chars: int) -> Part:
    text = document.text
    if not isinstance(text, str):
        if not isinstance(text, Iterable) or isinstance(text, (*NO_SEQUENCE, Mapping)):
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
        external_id=check_external_id(document.external_id, where),
        expires_at=check_time(document.expires_at, f"{where}: expires_at"),
    )


def _read_dict(item: Mapping[str, Any], skipped: Counter[str], where: str) -> Iterator[Part]:
    base, speaks = _open_message(item, where)
    if not speaks:
        yield from _read_item(item, base, skipped, where)
        return
    if base.role == "tool":
        yield from read_tool_message(item, base, skipped, where)
        return
    rest = {key: value for key, value in item.items() if not is_result(key)}
    said = rest.pop("message") if isinstance(rest.get("message"), str) else None  # Cohere's
    contents = [plain_blocks(one) for one in read_contents(rest, where)]
    if said is not None:
        contents.append(said)
    yield from read_once(contents, lambda one, more: read_content(one, base, more, where), skipped)
    if (refusal := read_refusal(item)) is not None:
        yield from read_content(refusal, base, skipped, f"{where}, refusal")
    if audio := item.get("audio"):
        spoken = plain_text(audio.get("transcript")) if isinstance(audio, Mapping) else ""
        if spoken:
            yield replace(base, text=spoken)
        else:
            skipped["audio"] += 1
    known = call_ids(contents[0] if contents else None)
    yield from read_calls(item, known, base, where)
    yield from read_invocations(item, known, base, skipped, where)
    yield from read_results(item, base, skipped, where)
    yield from read_attachments(item, base, skipped)
    for key in _NOT_TEXT:
        if item.get(key):
            skipped[key] += 1


def _read_item(
    item: Mapping[str, Any], base: Part, skipped: Counter[str], where: str
) -> Iterator[Part]:
    """Yield the parts of a dict that does not say who speaks.

    It is an item of the Responses API, a single block, an event, or a document of LangChain's.
    """
    kind = item.get("type")
    if kind in ("Document", "document", None) and isinstance(item.get("page_content"), str):
        yield replace(base, kind="document", role=None, text=item["page_content"])
        return
    if isinstance(kind, str) and is_error(kind) and not isinstance(item.get("text"), str):
        skipped[kind] += 1
        return
    if kind in _SUMMARIES:
        base = replace(base, role="system")
    found = list(read_block(item, base, skipped, where, alone=True))
    if isinstance(kind, str) and not is_vendors(kind):
        key = unread_key(item, kind, prose=bool(found))
        if key is not None:
            raise InputError(
                f"{where}: its type {shown(kind)} is unknown; give its text as 'content', with a "
                f"'role' ({', '.join(ROLES)}), not as {shown(key)}"
            )
    yield from found


def _open_message(item: Mapping[str, Any], where: str) -> tuple[Part, bool]:
    """The part for a message as a whole, still without text, and whether it says who speaks."""
    role, kind, name = (item.get(key) for key in ("role", "type", "name"))
    if role is None and isinstance(author := item.get("author"), Mapping):
        role = author.get("role")  # in an export of ChatGPT
    metadata = check_metadata(item.get("metadata"), where)
    id = read_id(item, where)
    base = Part(
        "message",
        "",
        role="user",
        created_at=read_time(item, where),
        metadata=metadata if id is None else {MESSAGE_ID: id, **metadata},
        scope=message_scope(item, where),
        external_id=check_external_id(item.get("external_id"), where),
        expires_at=check_time(item.get("expires_at"), f"{where}: expires_at"),
    )
    said = role_of_type(kind) if role is None else read_role(role, where)
    if said is not None:
        return replace(base, role=said, name=check_label(name or None, "name", where)), True
    if kind not in (None, "message"):
        told = isinstance(item.get("content"), str) and not _carries_content(kind)
        if told or (_names_message(kind) and plain_text(item)):
            raise InputError(
                f"{where}: its type {shown(kind)} does not say who speaks; give it a 'role': "
                f"{', '.join(ROLES)}"
            )
        return base, False
    if kind is None and isinstance(item.get("page_content"), str):
        return base, False
    # Where somebody else is said to speak, the name is that of the message, as in Google Chat.
    sent = any(isinstance(item.get(key), Mapping) for key in ("sender", "from"))
    if name is not None and not sent:
        return replace(base, name=check_label(name, "name", where)), True
    if kind is not None:
        raise InputError(
            f"{where}: its type {shown(kind)} does not say who speaks; give it a 'role' "
            f"({', '.join(ROLES)}) or a 'name'; it has the keys {shown(list(item))}"
        )
    raise InputError(
        f"{where}: a dict needs a 'role' ({', '.join(ROLES)}), a 'name' or a 'type'; "
        f"this one has the keys {shown(list(item))}"
    )


def _carries_content(kind: object) -> bool:
    """Whether a block of a type has its text as "content", so that this is no message."""
    return is_known(kind) or (isinstance(kind, str) and (is_silent(kind) or kind == "document"))


def _names_message(kind: object) -> bool:
    """Whether a type is that of something said, by somebody whom it does not tell."""
    return isinstance(kind, str) and kind.lower().endswith("message") and not is_vendors(kind)
