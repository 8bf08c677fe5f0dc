"""Splits message content into parts, in the formats of OpenAI (chat, Responses) and Anthropic.

A part inherits everything but its text, kind and tool from ``base``: the part for the message as
a whole. Blocks that are not text are counted in ``skipped`` by type.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from agentmem.ingest.checks import check_label, check_unicode, describe
from agentmem.types import Part
from agentmem_storage.errors import InputError

# Type of a text block -> the key of its text.
_TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}

# Type of a call -> the keys of its id and of its arguments.
_CALLS = {
    "tool_use": ("id", "input"),
    "function_call": ("call_id", "arguments"),
    "custom_tool_call": ("call_id", "input"),
}

# Type of a result -> the keys of the call's id and of its output.
_RESULTS = {
    "tool_result": ("tool_use_id", "content"),
    "function_call_output": ("call_id", "output"),
    "custom_tool_call_output": ("call_id", "output"),
}


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
    else:
        raise InputError(
            f"{where}: content must be a string or a list of blocks, got {describe(content)}"
        )


def read_block(block: object, base: Part, skipped: Counter[str], where: str) -> Iterator[Part]:
    """Yield the parts of one content block, or of one Responses item."""
    if isinstance(block, str):
        yield replace(base, text=block)
        return
    kind = block.get("type") if isinstance(block, Mapping) else None
    if not isinstance(block, Mapping) or not isinstance(kind, str) or not kind:
        raise InputError(
            f"{where}: a block must be a dict with a 'type', e.g. "
            f"{{'type': 'text', 'text': '...'}}, got {block!r:.80}"
        )
    if kind in _TEXTS:
        text = block.get(_TEXTS[kind])
        if not isinstance(text, str):
            raise InputError(f"{where}: {_TEXTS[kind]!r} must be a string, got {text!r:.80}")
        yield replace(base, text=text)
    elif kind in _CALLS:
        id_key, arguments_key = _CALLS[kind]
        call_id = block.get(id_key)
        yield call_part(block.get("name"), block.get(arguments_key), call_id, base, where)
    elif kind in _RESULTS:
        id_key, output_key = _RESULTS[kind]
        result = as_result(base, block.get(id_key), block.get("is_error"), where)
        yield from read_result(block.get(output_key), result, skipped, where)
    else:
        skipped[check_unicode(kind, f"{where}: 'type'")] += 1


def read_result(content: object, result: Part, skipped: Counter[str], where: str) -> Iterator[Part]:
    """Yield the parts of a tool's output; an empty output is counted as skipped."""
    before = skipped.total()
    parts = list(read_content(content, result, skipped, where))
    if skipped.total() > before or any(part.text.strip() for part in parts):
        yield from parts
    else:
        skipped["tool_result"] += 1


def as_result(base: Part, call_id: object, is_error: object, where: str) -> Part:
    """Return ``base`` as a tool result."""
    tool: dict[str, Any] = {}
    if call_id is not None:
        tool["tool_call_id"] = _call_id(call_id, where)
    if is_error is not None:
        if not isinstance(is_error, bool):
            raise InputError(f"{where}: 'is_error' must be true or false, got {is_error!r:.80}")
        tool["is_error"] = is_error
    return replace(base, kind="tool_result", role="tool", metadata={**base.metadata, **tool})


def call_part(name: object, arguments: object, call_id: object, base: Part, where: str) -> Part:
    """Return the part of one tool call; its text is ``name(arguments)``."""
    name = check_label(name, "a tool call's name", where)
    if name is None:
        raise InputError(f"{where}: a tool call without a name")
    tool = {"tool": name}
    if call_id is not None:
        tool["tool_call_id"] = _call_id(call_id, where)
    return replace(
        base,
        kind="tool_call",
        role="assistant",
        text=f"{name}({_arguments(arguments, where)})",
        metadata={**base.metadata, **tool},
    )


def _call_id(value: object, where: str) -> str:
    # Some local servers send empty ids, so these are accepted.
    if not isinstance(value, str):
        raise InputError(f"{where}: the id of a tool call must be a string, got {describe(value)}")
    return check_unicode(value, f"{where}: the id of a tool call")


def _arguments(value: object, where: str) -> str:
    """Return string arguments unchanged, others as JSON with their key order preserved."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, sort_keys=False, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: a tool call's arguments are not JSON ({error})") from error
