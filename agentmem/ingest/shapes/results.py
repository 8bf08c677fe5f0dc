"""Tool results in all known formats: what was returned, by which tool, and whether it failed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from agentmem.ingest.shapes.plain import plain_text
from agentmem.ingest.shapes.tools import as_result, call_id_of, first, tool_of
from agentmem.types import Part
from agentmem_storage.errors import InputError
from agentmem_storage.text import shown

# Keys of what a tool returned; all of them count.
_OUTPUTS = ("parts", "blocks", "content", "text", "output", "result", "response", "value")
# Of MCP: the same once more for programs, mostly.
_STRUCTURED = ("structuredContent", "structured_content")
# Keys of what went wrong: a text, or just whether something did.
_ERRORS = ("errorText", "error")
_EXITS = ("return_code", "returncode", "exit_code", "exitCode")
_FAILURES = ("error", "failed", "failure")


def open_result(block: Mapping[str, Any], base: Part, where: str) -> tuple[list[object], Part]:
    """What a tool returned, and the part for it, still without text.

    Args:
        block: A block that is a tool's result, or a message with the role of a tool.
        base: The part for the message as a whole.
        where: Identifies the result in errors.

    Returns:
        The values of all keys that hold output, and the part.

    Raises:
        InputError: its id, its name or ``is_error`` has the wrong type.
    """
    given = [block[key] for key in _OUTPUTS if block.get(key) is not None]
    outputs = [_opened(one) for one in given]
    for structured in (block.get(key) for key in _STRUCTURED):
        if structured and not any(_says(one, structured) for one in outputs):
            outputs.append(structured)
    outputs += [block[key] for key in _ERRORS if _is_text(block.get(key))]
    failed = first(block, ("is_error", "isError"))
    if failed is not None and not isinstance(failed, bool):
        raise InputError(f"{where}: 'is_error' must be true or false, got {shown(failed)}")
    if failed is None and (_has_failed(block) or any(_is_failure(one) for one in given)):
        failed = True
    result = as_result(base, call_id_of(block), failed, where)
    if (tool := tool_of(block, where)) is not None:
        result = replace(result, metadata={**result.metadata, "tool": tool})
    return outputs, result


def _opened(output: object) -> object:
    """Vercel's {"type": "text" or "json" or "error-text" ..., "value": ...} without its type."""
    typed = isinstance(output, Mapping) and isinstance(output.get("type"), str)
    return output.get("value", output) if typed and isinstance(output, Mapping) else output


def _is_text(error: object) -> bool:
    return bool(error) and isinstance(error, str | Mapping | list | tuple)


def _has_failed(block: Mapping[str, Any]) -> bool:
    """Whether the keys beside the output say that the call failed."""
    return (
        any(block.get(key) for key in _ERRORS)
        or block.get("success") is False
        or block.get("status") in _FAILURES
        or _has_exited(block)
        or _failed_at_google(block)
    )


def _is_failure(output: object) -> bool:
    """Whether an output with a type says that the call failed."""
    if isinstance(output, list | tuple):
        return any(_is_failure(one) for one in output)
    if not isinstance(output, Mapping):
        return False
    kind, outcome = output.get("type"), output.get("outcome")
    if isinstance(outcome, Mapping) and (outcome.get("type") == "timeout" or _has_exited(outcome)):
        return True  # of a shell of OpenAI's
    if not isinstance(kind, str):
        return False
    return kind.startswith("error") or kind.endswith("_error") or _has_exited(output)


def _has_exited(value: Mapping[str, Any]) -> bool:
    """Whether a program ended with another exit status than 0."""
    return any(isinstance(value.get(key), int) and value[key] != 0 for key in _EXITS)


def _failed_at_google(block: Mapping[str, Any]) -> bool:
    """Whether a function's response is an error, or code was not run to its end."""
    response, outcome = block.get("response"), block.get("outcome")
    if isinstance(response, Mapping) and response.get("error"):
        return response.get("output") is None
    return outcome in ("OUTCOME_FAILED", "OUTCOME_DEADLINE_EXCEEDED")


def _says(output: object, structured: object) -> bool:
    """Whether an output is the text of a structured one, which MCP's servers send for old clients.

    They wrap what is no dict as {"result": ...}, and write a list as one text for each of its
    values.
    """
    inner = structured
    if isinstance(structured, Mapping) and list(structured) == ["result"]:
        inner = structured["result"]
    blocks = output if isinstance(output, list | tuple) else [output]
    each = [list(_readings(plain_text(one))) for one in blocks]
    if len(each) == 1 and any(one in (structured, inner) for one in each[0]):
        return True
    return (
        isinstance(inner, list)
        and len(inner) == len(each)
        and all(value in readings for value, readings in zip(inner, each, strict=True))
    )


def _readings(text: str) -> Iterator[object]:
    """Yield a text, and what it is as JSON."""
    yield text
    try:
        yield json.loads(text)
    except (ValueError, RecursionError):
        return
