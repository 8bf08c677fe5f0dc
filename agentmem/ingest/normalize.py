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
    check_label,
    check_metadata,
    check_text,
    check_time,
    describe,
    join_pieces,
)
from agentmem.ingest.external_ids import check_external_id, check_single, name_content
from agentmem.ingest.order import said_order
from agentmem.ingest.scope import combine, message_scope
from agentmem.ingest.shapes.beside import calls_beside, is_result, results_beside
from agentmem.ingest.shapes.blocks import (
    call_ids,
    is_known,
    is_vendors,
    read_attachments,
    read_block,
    read_content,
    read_invocations,
    read_once,
    read_outputs,
)
from agentmem.ingest.shapes.documents import open_document
from agentmem.ingest.shapes.envelopes import open_envelope, paired, plain
from agentmem.ingest.shapes.fields import (
    ROLES,
    nested_key,
    read_contents,
    read_id,
    read_refusal,
    read_role,
    read_time,
    role_of_type,
    unread_key,
)
from agentmem.ingest.shapes.plain import is_silent, plain_text
from agentmem.ingest.shapes.results import open_result
from agentmem.ingest.shapes.streams import is_error
from agentmem.ingest.shapes.tools import as_result, call_id_of, call_part, names_tool, read_call
from agentmem.types import MESSAGE_ID, Content, Document, Message, Part
from agentmem_storage.errors import InputError
from agentmem_storage.records import ANY_SCOPE, Scope
from agentmem_storage.text import is_blank, shown

# Types of items that a program has made of what was said before: nobody said them.
_SUMMARIES = ("summary", "compaction")
# Fields of a chat message with content other than its text.
_NOT_TEXT = ("reasoning_content", "reasoning", "thinking")
# Iterable, but not ordered sequences of messages.
_NO_SEQUENCE = (bytes, bytearray, memoryview, set, frozenset)


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
    elif isinstance(content, Iterable) and not isinstance(content, _NO_SEQUENCE):
        for index, item in enumerate(content):
            item = paired(plain(item), listed=True)
            if isinstance(item, Mapping):
                yield from open_envelope(item, f"message {index}", skipped)
            else:
                yield f"message {index}", item
    else:
        raise _unsupported(content, "the content")


def _message_parts(item: object, skipped: Counter[str], where: str, max_chars: int) -> list[Part]:
    """The validated parts of one message or document.

    Raises:
        InputError: it cannot be stored.
        BlankError: it is a message with neither text nor anything that is counted as skipped.
    """
    item = open_document(item, where)
    skipped_here: Counter[str] = Counter()
    found = list(_read(item, skipped_here, where, max_chars))
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
        external_id=check_external_id(document.external_id, where),
        expires_at=check_time(document.expires_at, f"{where}: expires_at"),
    )


def _read_dict(item: Mapping[str, Any], skipped: Counter[str], where: str) -> Iterator[Part]:
    base, speaks = _open_message(item, where)
    if not speaks:
        yield from _read_item(item, base, skipped, where)
        return
    if base.role == "tool":
        yield from _read_result(item, base, skipped, where)
        return
    rest = {key: value for key, value in item.items() if not is_result(key)}
    said = rest.pop("message") if isinstance(rest.get("message"), str) else None  # Cohere's
    contents = [_with_plain_blocks(one) for one in read_contents(rest, where)]
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
    yield from _read_calls(item, known, base, where)
    yield from read_invocations(item, known, base, skipped, where)
    yield from _read_results(item, base, skipped, where)
    yield from read_attachments(item, base, skipped)
    for key in _NOT_TEXT:
        if item.get(key):
            skipped[key] += 1


def _with_plain_blocks(content: object) -> object:
    """A content whose blocks are dicts; in a message that goes on they may be an SDK's objects."""
    return [plain(one) for one in content] if isinstance(content, list | tuple) else content


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


def _read_result(
    item: Mapping[str, Any], base: Part, skipped: Counter[str], where: str
) -> Iterator[Part]:
    """Yield the parts of a message with the role of a tool."""
    # Its id and its name are those of the message.
    said = {key: value for key, value in item.items() if key not in ("id", "name")}
    extra = item.get("additional_kwargs")
    if call_id_of(said) is None and isinstance(extra, Mapping):
        said["tool_call_id"] = extra.get("tool_call_id")
    outputs, result = open_result(said, base, where)
    outputs = [_with_plain_blocks(one) for one in outputs if one or one == 0]
    answers, calls = _answers(item, base, where)
    if not outputs and not answers:
        read_contents(item, where)  # refuses text under an unknown key

    def read(given: list[tuple[list[object], Part]], more: Counter[str]) -> Iterator[Part]:
        for found, one in given:
            yield from read_outputs(found, one, more, where)

    # As a whole, where it is not told again by the list of answers.
    whole = [[(outputs, result)]] if outputs or not answers else []
    yield from read_once([answers, *whole] if answers else whole, read, skipped)
    yield from _read_calls({"tool_calls": calls}, set(), base, where)


def _answers(
    item: Mapping[str, Any], base: Part, where: str
) -> tuple[list[tuple[list[object], Part]], list[object]]:
    """The results that a tool's message holds as "tool_calls", as Agno writes them, and the rest.

    Returns:
        For each result, its outputs and the part for it, see `open_result`; and mere calls.
    """
    answers, calls = [], []
    given = item.get("tool_calls")
    for number, call in enumerate(given if isinstance(given, list | tuple) else ()):
        call = plain(call)
        opened = None
        if isinstance(call, Mapping):
            opened = open_result(call, base, f"{where}, tool call {number}")
        if opened is not None and any(opened[0]):
            answers.append(opened)
        else:
            calls.append(call)
    return answers, calls


def _read_calls(
    item: Mapping[str, Any], known: set[object], base: Part, where: str
) -> Iterator[Part]:
    """Yield the tool calls of a message which are separate from its content.

    Args:
        item: The message.
        known: Ids of the calls in its content, which LangChain repeats here.
        base: The part for the message as a whole.
        where: Identifies the message in errors.
    """
    for number, call in enumerate(calls_beside(item, where)):
        where_call = f"{where}, tool call {number}"
        call = plain(call)
        body = None
        if isinstance(call, Mapping):
            body = call.get("function") or call.get("custom")
            if body is None and names_tool(call):
                if (id := call_id_of(call)) is None or id not in known:
                    yield read_call(call, base, where_call)
                continue
        if not isinstance(call, Mapping) or not isinstance(body, Mapping):
            raise InputError(
                f"{where_call}: expected {{'function': {{'name', ...}}}}, got {shown(call)}"
            )
        arguments = body.get("arguments", body.get("input"))
        yield call_part(body.get("name"), arguments, call.get("id"), base, where_call)


def _read_results(
    item: Mapping[str, Any], base: Part, skipped: Counter[str], where: str
) -> Iterator[Part]:
    """Yield the results of tools that stand beside the content of a message."""
    for number, one in enumerate(results_beside(item)):
        where_result = f"{where}, tool result {number}"
        outputs, result = [one], as_result(base, None, None, where_result)
        if isinstance(one, Mapping):
            known, result = open_result(one, base, where_result)
            outputs = known or outputs
        yield from read_outputs(outputs, result, skipped, where_result)


def _unsupported(value: object, where: str) -> InputError:
    return InputError(
        f"{where} is {describe(value)}; give a string, a message as a dict or an object with "
        "model_dump(), a Message, a Document, or a list of these"
    )
