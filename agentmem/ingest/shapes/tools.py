"""Tool calls, and the parts and texts of tool results, under the keys of all known formats."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from agentmem.ingest.checks import check_label, check_unicode, describe
from agentmem.ingest.shapes.plain import as_text, is_silent, plain_text
from agentmem.types import Part
from agentmem_storage.errors import InputError
from agentmem_storage.text import shown

# Keys of a call's id, the tool's name and the arguments; the first one counts.
_IDS = ("call_id", "tool_use_id", "tool_call_id", "toolCallId", "toolUseId", "id")
_NAMES = ("name", "tool_name", "toolName")
_ARGUMENTS = ("arguments", "input", "args", "tool_kwargs", "rawInput")

# Calls that a provider runs itself: its name, the key of the dict that says what was asked (None:
# the block does), and the keys in there; all of them count.
_HOSTED: dict[str, tuple[str, str | None, tuple[str, ...]]] = {
    "code_interpreter_call": ("code_interpreter", None, ("code",)),
    "file_search_call": ("file_search", None, ("queries",)),
    "web_search_call": ("web_search", "action", ("query", "queries", "pattern", "url")),
    "local_shell_call": ("local_shell", "action", ("command",)),
    "shell_call": ("shell", "action", ("commands",)),
    "apply_patch_call": ("apply_patch", "operation", ("type", "path", "diff")),
    "program": ("program", None, ("code",)),
}
# Keys of what they returned, in the same block.
_HOSTED_OUTPUTS = ("output", "outputs", "results", "error")
# Of blocks of unknown types: keys of what was asked, and the ends of the types of results.
_ASKED = (*_ARGUMENTS, "code", "action", "operation", "query", "queries", "command")
_ANSWERS = ("_output", "-output", "_result", "-result")


def first(block: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    """The first value that is there."""
    return next((block[key] for key in keys if block.get(key) is not None), None)


def call_part(name: object, arguments: object, call_id: object, base: Part, where: str) -> Part:
    """The part of one tool call; its text is ``name(arguments)``.

    Raises:
        InputError: it has no name, or its arguments are not JSON.
    """
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


def read_call(block: Mapping[str, Any], base: Part, where: str) -> Part:
    """The part of a block that calls a tool.

    Raises:
        InputError: as `call_part`.
    """
    return call_part(
        first(block, _NAMES), first(block, _ARGUMENTS), first(block, _IDS), base, where
    )


def read_hosted(block: Mapping[str, Any], kind: str, base: Part, where: str) -> Iterator[Part]:
    """Yield the call of a tool that the provider ran itself, and the result it carries.

    A call that does not say what was asked yields nothing.
    """
    if kind in _HOSTED:
        name, holder, keys = _HOSTED[kind]
        asked = _asked(block if holder is None else block.get(holder), keys)
        if not asked:
            return
        yield call_part(name, asked, first(block, _IDS), base, where)
    elif kind == "mcp_call" or names_tool(block):
        yield read_call(block, base, where)
    else:
        given = first(block, _ASKED)
        if given is None:
            return
        yield call_part(kind.removesuffix("_call"), given, first(block, _IDS), base, where)
    outputs = [block[key] for key in _HOSTED_OUTPUTS if block.get(key)]
    if outputs:
        failed = True if block.get("error") else None
        result = as_result(base, first(block, _IDS), failed, where)
        texts = [plain_text(one) or output_text(one, where) for one in outputs]
        yield replace(result, text="\n".join(texts))


def _asked(holder: object, keys: tuple[str, ...]) -> str:
    """What a hosted tool was asked; a query that stands among the queries, too, once."""
    given = [holder.get(key) for key in keys] if isinstance(holder, Mapping) else [holder]
    lists = [one for one in given if isinstance(one, list | tuple)]
    return plain_text([one for one in given if not any(one in values for values in lists)])


def is_hosted(kind: str) -> bool:
    """Whether a block is a call that the provider ran itself."""
    return kind in _HOSTED or kind == "mcp_call"


def is_call(kind: str, block: Mapping[str, Any]) -> bool:
    """Whether a block of an unknown type calls a tool."""
    named = kind.endswith("_call") and not is_silent(kind)
    return named and (_names_call(block) or names_tool(block))


def is_answer(kind: str, block: Mapping[str, Any]) -> bool:
    """Whether a block of an unknown type is what a tool returned, and so nobody's words."""
    return kind.endswith(_ANSWERS) and not is_silent(kind) and _names_call(block)


def as_result(base: Part, call_id: object, is_error: object, where: str) -> Part:
    """``base`` as a tool result, still without its text."""
    tool: dict[str, Any] = {}
    if call_id is not None:
        tool["tool_call_id"] = _call_id(call_id, where)
    if is_error is not None:
        if not isinstance(is_error, bool):
            raise InputError(f"{where}: 'is_error' must be true or false, got {shown(is_error)}")
        tool["is_error"] = is_error
    return replace(base, kind="tool_result", role="tool", metadata={**base.metadata, **tool})


def call_id_of(block: Mapping[str, Any]) -> object:
    """The id of the call that a block makes or answers."""
    return first(block, _IDS)


def tool_of(block: Mapping[str, Any], where: str) -> str | None:
    """The name of the tool that a block calls, or whose result it is; None if it has none.

    Raises:
        InputError: it is no string.
    """
    return check_label(first(block, _NAMES) or None, "a tool's name", where)


def _names_call(block: Mapping[str, Any]) -> bool:
    """Whether a block has the id of a call, which may be another than its own."""
    return any(isinstance(block.get(key), str) for key in _IDS if key != "id")


def names_tool(call: Mapping[str, Any]) -> bool:
    """Whether a call has the name of its tool itself, and not in a dict inside it."""
    return isinstance(first(call, _NAMES), str)


def _call_id(value: object, where: str) -> str:
    # Some local servers send empty ids, so these are accepted.
    if not isinstance(value, str):
        raise InputError(f"{where}: the id of a tool call must be a string, got {describe(value)}")
    return check_unicode(value, f"{where}: the id of a tool call")


def output_text(value: object, where: str) -> str:
    """A tool's output as text.

    Raises:
        InputError: it is not JSON.
    """
    try:
        return as_text(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: a tool's output is not JSON ({error})") from error


def json_text(value: object, where: str) -> str:
    """A tool's output as JSON.

    Raises:
        InputError: it is not JSON.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: a tool's output is not JSON ({error})") from error


def _arguments(value: object, where: str) -> str:
    """String arguments unchanged, others as JSON with their key order preserved."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, sort_keys=False, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: a tool call's arguments are not JSON ({error})") from error
