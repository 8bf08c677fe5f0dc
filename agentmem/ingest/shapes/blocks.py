"""Reads the blocks of a message's content: a table from the type of a block to what it holds.

A part inherits everything but its text, kind and tool from ``base``, the part for the message as a
whole. Blocks without text are counted in ``skipped`` by type. A block of an unknown type keeps its
text, if it has any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from agentmem.ingest.checks import check_label, check_unicode, describe
from agentmem.ingest.shapes.block_types import (
    APPROVALS,
    CALLS,
    KEYED,
    RESULTS,
    SKIPPED,
    TEXTS,
    TYPED,
    TYPES,
    block_type,
    filled_keys,
    is_titled,
    is_vendors,
)
from agentmem.ingest.shapes.fields import ATTACHMENTS, nested_key, unread_key
from agentmem.ingest.shapes.plain import is_silent, plain_text
from agentmem.ingest.shapes.results import open_result
from agentmem.ingest.shapes.tools import (
    call_part,
    is_answer,
    is_call,
    is_hosted,
    json_text,
    output_text,
    read_call,
    read_hosted,
)
from agentmem.types import Part
from agentmem_storage.errors import InputError
from agentmem_storage.text import shown

_T = TypeVar("_T")


def read_content(content: object, base: Part, skipped: Counter[str], where: str) -> Iterator[Part]:
    """Yield a part for each text, call and result in the content: a string, blocks, or None.

    Texts may be blank; the caller decides about those, because it sees the complete message.

    Raises:
        InputError: The content or one of its blocks has an unknown format.
    """
    if content is None:
        return
    if isinstance(content, str):
        yield replace(base, text=content)
    elif isinstance(content, list | tuple):
        for number, block in enumerate(content):
            yield from read_block(block, base, skipped, f"{where}, block {number}")
    elif isinstance(content, Mapping) and not TYPED.isdisjoint(content):
        yield from _read_export(content, base, skipped, where)
    else:
        raise InputError(
            f"{where}: content must be a string or a list of blocks, got {describe(content)}"
        )


def _read_export(
    content: Mapping[str, Any], base: Part, skipped: Counter[str], where: str
) -> Iterator[Part]:
    """Yield the parts of a content of ChatGPT's: its "parts", or the content as one block.

    Some have a text beside their parts. Parts may be null; they are counted as blank.
    """
    parts, text = content.get("parts"), content.get("text")
    if parts is None:
        empty = not text and content.keys() <= {"content_type", "parts", "text"}
        yield from read_content("" if empty else [content], base, skipped, where)
        return
    if isinstance(parts, list | tuple):
        given, parts = parts, [one for one in parts if one is not None]
        if len(parts) < len(given):
            skipped["blank"] += len(given) - len(parts)
    filled = [one for one in (parts, text) if one] or [""]
    yield from read_once(filled, lambda one, more: read_content(one, base, more, where), skipped)


def read_block(
    block: object, base: Part, skipped: Counter[str], where: str, *, alone: bool = False
) -> Iterator[Part]:
    """Yield the parts of one content block, or of one Responses item.

    Args:
        block: The block.
        base: The part for the message as a whole.
        skipped: Counts blocks without text.
        where: Identifies the block in errors.
        alone: Whether it stands for a message, so that the caller looks for text in other fields.

    Raises:
        InputError: its format is unknown, or it has text only in a field that is not known.
    """
    if isinstance(block, str):
        yield replace(base, text=block)
        return
    kind = block_type(block)
    if not isinstance(block, Mapping) or kind is None:
        raise InputError(
            f"{where}: a block must be a dict with a 'type', e.g. "
            f"{{'type': 'text', 'text': '...'}}, got {shown(block)}"
        )
    check_unicode(kind, f"{where}: 'type'")
    before = skipped.total()
    found = list(_read_kind(kind, block, base, skipped, where))
    if not found and skipped.total() == before:
        key = None
        if not alone and not is_vendors(kind):
            key = unread_key(block, kind, prose=True) or nested_key(block)
        if key is None:
            skipped[kind] += 1
        elif base.kind == "tool_result":  # a value of the tool's own that happens to have a type
            found = [replace(base, text=json_text(block, where))]
        else:
            raise InputError(
                f"{where}: its type {shown(kind)} is unknown; give its text as "
                f"{{'type': 'text', 'text': '...'}}, not as {shown(key)}"
            )
    yield from found


def read_once(
    given: Iterable[_T],
    read: Callable[[_T, Counter[str]], Iterator[Part]],
    skipped: Counter[str],
) -> list[Part]:
    """The parts of everything that holds the text of one message or result.

    Text that stands in two of them is read once: the messages of some SDKs have their text as a
    whole beside its pieces.

    Args:
        given: What holds text.
        read: Yields the parts of one of these, and counts what it skips.
        skipped: Counts blocks without text.
    """
    found: list[Part] = []
    for one in given:
        more = Counter[str]()
        parts = list(read(one, more))
        known = _told(found)
        if _told(parts) != known:
            have = {(part.kind, "".join(part.text.split())) for part in found}
            parts = [part for part in parts if (part.kind, "".join(part.text.split())) not in have]
            # Beside pieces that are calls, a text introduces them.
            called = any(part.kind in ("tool_call", "document") for part in found)
            found = [*parts, *found] if called else [*found, *parts]
            skipped.update(more)
        elif not known:
            found = found or parts
            skipped.update(more)
    return found


def _told(parts: list[Part]) -> str:
    """The texts of parts without white space, by which they are compared."""
    return "".join("".join(part.text for part in parts if part.kind != "tool_call").split())


def read_outputs(
    outputs: list[object], result: Part, skipped: Counter[str], where: str
) -> Iterator[Part]:
    """Yield the parts of what a tool returned under several keys; text in two of them once.

    Args:
        outputs: The values of the keys, see `open_result`.
        result: The part for the result as a whole.
        skipped: Counts blocks without text, and a result without any as "tool_result".
        where: Identifies the result in errors.
    """
    filled = [one for one in outputs if one or one == 0] or outputs[:1] or [None]
    yield from read_once(filled, lambda one, more: read_output(one, result, more, where), skipped)


def read_output(output: object, result: Part, skipped: Counter[str], where: str) -> Iterator[Part]:
    """Yield the parts of a tool's output; an empty output is counted as skipped."""
    before = skipped.total()
    if isinstance(output, str):
        parts = [replace(result, text=output)]
    elif isinstance(output, list | tuple) and all(
        isinstance(one, str) or block_type(one) is not None for one in output
    ):
        parts = list(read_content(output, result, skipped, where))
    elif isinstance(output, Mapping) and "content_type" in output:  # in an export of ChatGPT
        parts = list(read_content(output, result, skipped, where))
    else:
        parts = [replace(result, text=output_text(output, where))]
    if skipped.total() > before or any(part.text.strip() for part in parts):
        yield from parts
    else:
        skipped["tool_result"] += 1


def read_invocations(
    message: Mapping[str, Any], known: set[object], base: Part, skipped: Counter[str], where: str
) -> Iterator[Part]:
    """Yield the calls and results beside the content of a message of Vercel's SDK, version 4.

    Args:
        message: The message.
        known: Ids of the calls in its content.
        base: The part for the message as a whole.
        skipped: Counts results without text.
        where: Identifies the message in errors.
    """
    given = message.get("toolInvocations")
    for number, call in enumerate(given if isinstance(given, list | tuple) else ()):
        if isinstance(call, Mapping) and call.get("toolCallId") not in known:
            where_call = f"{where}, tool invocation {number}"
            yield from _read_invocation("tool-invocation", call, base, skipped, where_call)


def read_attachments(
    message: Mapping[str, Any], base: Part, skipped: Counter[str]
) -> Iterator[Part]:
    """Yield the texts of what is attached to a message; files and links are counted as skipped.

    Args:
        message: The message; Vercel's of version 4 have ``experimental_attachments``, Ollama's
            ``images``.
        base: The part for the message as a whole.
        skipped: Counts attachments without text.
    """
    for key in ATTACHMENTS:
        given = message.get(key)
        for attachment in given if isinstance(given, list | tuple) else ():
            file = {**attachment, "type": "file"} if isinstance(attachment, Mapping) else None
            if text := plain_text(file):
                yield replace(base, text=text)
            else:
                skipped["attachment"] += 1


def _read_kind(
    kind: str, block: Mapping[str, Any], base: Part, skipped: Counter[str], where: str
) -> Iterator[Part]:
    """Yield the parts of a block of a type; nothing if it has no text."""
    if not any(block.get(key) for key in TYPES):
        for key in filled_keys(block):
            yield from _read_keyed(key, block, base, skipped, where)
    elif kind in TEXTS and not is_titled(kind, block):
        yield from _read_text(block, TEXTS[kind], base, skipped, where)
    elif kind in CALLS:
        yield read_call(block, base, where)
    elif is_hosted(kind) or (kind not in SKIPPED and is_call(kind, block)):
        yield from read_hosted(block, kind, base, where)
    elif kind.endswith(RESULTS) or (kind not in SKIPPED and is_answer(kind, block)):
        outputs, result = open_result(block, base, where)
        yield from read_outputs(outputs, result, skipped, where)
    elif kind == "json" and kind in block:  # a value of a tool
        yield replace(base, text=output_text(block[kind], where))
    elif kind not in SKIPPED:
        yield from _read_other(kind, block, base, skipped, where)


def _read_other(
    kind: str, block: Mapping[str, Any], base: Part, skipped: Counter[str], where: str
) -> Iterator[Part]:
    """Yield the parts of a block that carries a text in a way of its own, or of an unknown type."""
    if kind in ("document", "search_result", "text-plain"):
        yield from _read_document(block, base, where)
    elif kind == "compaction":  # a summary in place of the conversation before it
        if text := plain_text(block.get("content")):
            yield replace(base, text=text)
    elif kind in APPROVALS:
        yield from _read_approval(block, base)
    elif kind == "non_standard":
        yield from read_block(block.get("value"), base, skipped, where)
    elif kind.startswith(("tool-", "dynamic-tool")):
        yield from _read_invocation(kind, block, base, skipped, where)
    else:
        inner = block.get("data") if kind.startswith("data-") else block.get(kind)
        if isinstance(inner, Mapping):
            inner = {"type": kind, **inner}
        elif is_silent(kind):  # a link, or a file in Base64
            inner = None
        if text := plain_text(block) or plain_text(inner):
            yield replace(base, text=text)


def _read_text(
    block: Mapping[str, Any], key: str, base: Part, skipped: Counter[str], where: str
) -> Iterator[Part]:
    """Yield the text of a block, unless it is what a model of Google's thought."""
    text = block.get(key)
    if isinstance(text, Mapping) and isinstance(text.get("value"), str):
        text = text["value"]  # in a thread of the Assistants API, with annotations beside it
    if text is None:  # OpenTelemetry's have it as "content"
        text = block.get("content", "" if key in block else None)
    if not isinstance(text, str):
        raise InputError(f"{where}: {key!r} must be a string, got {shown(text)}")
    if block.get("thought") is True:
        skipped["thought"] += 1
    else:
        yield replace(base, text=text)


def _read_keyed(
    key: str, block: Mapping[str, Any], base: Part, skipped: Counter[str], where: str
) -> Iterator[Part]:
    """Yield the parts of a block that has no type."""
    value = block[key]
    match KEYED[key]:
        case "text":
            yield from _read_text(block, "text", base, skipped, where)
        case "json":
            yield replace(base, text=output_text(value, where))
        case "transcript":
            yield replace(base, text=plain_text(value))
        case "media":
            return
        case "document":  # of Bedrock's, with a name and a format beside its source
            given = value if isinstance(value, Mapping) else {}
            found = list(_read_document({**given, "title": given.get("name")}, base, where))
            yield from found
            if not found:
                skipped[key] += 1
        case _ if not isinstance(value, Mapping):
            raise InputError(f"{where}: {key!r} must be a dict, got {shown(value)}")
        case "tool_call":
            yield read_call({"name": value.get("toolType"), **value}, base, where)
        case "code":
            code = value.get("code")
            yield call_part("code_execution", code, value.get("id"), base, where)
        case _:
            if isinstance(origin := value.get("origin"), Mapping):  # Haystack's: the call
                value = {**origin, **value}
            outputs, result = open_result(value, base, where)
            yield from read_outputs(outputs, result, skipped, where)


def _read_document(block: Mapping[str, Any], base: Part, where: str) -> Iterator[Part]:
    """Yield a document or search result that carries its text; files and links carry none."""
    source = block.get("source")
    text = plain_text({key: block.get(key) for key in ("text", "content", "source")})
    if isinstance(source, Mapping):
        text = text or plain_text(source.get("text"))
    text = text or plain_text(block.get("page_content"))
    # What it is about, beside it in the formats of Anthropic and of Bedrock.
    text = "\n".join(one for one in (plain_text(block.get("context")), text) if one)
    if text:
        yield replace(
            base,
            kind="document",
            role=None,
            name=None,
            text=text,
            title=check_label(block.get("title") or None, "title", where),
            uri=check_label(source or None, "source", where) if isinstance(source, str) else None,
        )


def _read_invocation(
    kind: str, block: Mapping[str, Any], base: Part, skipped: Counter[str], where: str
) -> Iterator[Part]:
    """Yield the call of a tool part of Vercel's UI messages, and its result once it has one."""
    inner = block.get("toolInvocation")
    call = {**inner} if isinstance(inner, Mapping) else {**block}
    call.setdefault("toolName", kind.removeprefix("tool-"))
    call.pop("id", None)
    asked = {key: call[key] for key in ("toolCallId", "toolName") if key in call}
    yield read_call({**call, "input": call.get("input", call.get("args"))}, base, where)
    outcome = {key: call[key] for key in ("output", "result", "errorText") if key in call}
    if any(value is not None for value in outcome.values()):
        outputs, result = open_result({**asked, **outcome}, base, where)
        yield from read_outputs(outputs, result, skipped, where)
    if isinstance(approval := call.get("approval"), Mapping):
        yield from _read_approval(approval, base)


def _read_approval(answer: Mapping[str, Any], base: Part) -> Iterator[Part]:
    """Yield why a person allowed a call or did not; most give no reason."""
    if reason := plain_text(answer.get("reason")):
        yield replace(base, kind="message", role="user", name=None, text=reason)
