"""Tool calls that a reply was cut off in: half of a call was never made, and is not stored.

A reply ends early because a stream did, or because a limit on tokens was reached. Its texts are
what was said so far, and so are the calls before the last one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agentmem.ingest.shapes.envelopes import plain

# In a receipt's count of what was left out.
CUT_OFF = "cut off"
# Why a reply ended, in completions and in messages of Anthropic's, if it did so early.
CUT_COMPLETION = "length"
CUT_MESSAGES = ("max_tokens", "model_context_window_exceeded")
_UNFINISHED = ("incomplete", "in_progress")


def finished(
    reply: Mapping[str, Any] | Sequence[Any],
) -> tuple[Mapping[str, Any] | Sequence[Any], list[str]]:
    """A reply without the calls that it was cut off in, and the names of their tools.

    Args:
        reply: A response of OpenAI's or Anthropic's as a dict, or a list of messages or items.
    """
    if not isinstance(reply, Mapping):
        kept, names = _joined([_finished_item(plain(one)) for one in reply])
        return (kept if names else reply), names
    if isinstance(choices := reply.get("choices"), list | tuple):
        read = [_finished_choice(plain(one)) for one in choices]
        return _without(reply, "choices", read)
    if isinstance(items := reply.get("output"), list | tuple):
        return _without(reply, "output", [_finished_item(plain(one)) for one in items])
    blocks = reply.get("content")
    if isinstance(blocks, list | tuple) and blocks and reply.get("stop_reason") in CUT_MESSAGES:
        last = plain(blocks[-1])
        if isinstance(last, Mapping) and str(last.get("type")).endswith("tool_use"):
            return {**reply, "content": list(blocks[:-1])}, [str(last.get("name"))]
    return reply, []


def is_whole(arguments: object) -> bool:
    """Whether arguments are JSON to their end."""
    try:
        return isinstance(arguments, str) and json.loads(arguments) is not None
    except (ValueError, RecursionError):
        return False


def _without(
    reply: Mapping[str, Any], key: str, read: list[tuple[Any, list[str]]]
) -> tuple[Mapping[str, Any], list[str]]:
    """A reply with a list of what is left of each of its members."""
    kept, names = _joined(read)
    return ({**reply, key: kept} if names else reply), names


def _joined(read: list[tuple[Any, list[str]]]) -> tuple[list[Any], list[str]]:
    """What is left of several, and what was cut off."""
    return [one for one, _ in read if one is not None], [name for _, cut in read for name in cut]


def _finished_choice(choice: object) -> tuple[object, list[str]]:
    message = plain(choice.get("message")) if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        return choice, []
    calls = message.get("tool_calls")
    if choice.get("finish_reason") != CUT_COMPLETION or not isinstance(calls, list | tuple):
        return choice, []
    functions = [(one, _function(one)) for one in map(plain, calls)]
    kept = [one for one, called in functions if is_whole(called.get("arguments", "{}"))]
    names = [
        str(one.get("name")) for _, one in functions if not is_whole(one.get("arguments", "{}"))
    ]
    return {**choice, "message": {**message, "tool_calls": kept or None}}, names


def _function(call: object) -> Mapping[str, Any]:
    given = call.get("function") if isinstance(call, Mapping) else None
    return given if isinstance(given, Mapping) else {}


def _finished_item(item: object) -> tuple[object, list[str]]:
    if not isinstance(item, Mapping) or item.get("status") not in _UNFINISHED:
        return item, []
    kind = str(item.get("type"))
    return (None, [str(item.get("name") or kind)]) if kind.endswith("_call") else (item, [])
