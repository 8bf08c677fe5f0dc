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
    if choice.get("finish_reason") != CUT_COMPLETION:
        return choice, []
    left, names = dict(message), []
    if (name := _cut({"function": plain(message.get("function_call"))}, last=True)) is not None:
        left["function_call"] = None
        names.append(name)
    if isinstance(given := message.get("tool_calls"), list | tuple):
        calls = [plain(one) for one in given]
        cut = [_cut(one, last=at == len(calls) - 1) for at, one in enumerate(calls)]
        kept = [one for one, name in zip(calls, cut, strict=True) if name is None]
        left["tool_calls"] = kept or None
        names += [name for name in cut if name is not None]
    return ({**choice, "message": left} if names else choice), names


def _cut(call: object, *, last: bool) -> str | None:
    """The name of the tool if its call was cut off; None if it was not.

    Args:
        call: A call of a completion.
        last: Whether it is the last one, of which a text may be half.
    """
    given = call if isinstance(call, Mapping) else {}
    function, custom = given.get("function"), given.get("custom")
    if isinstance(custom, Mapping):
        return str(custom.get("name")) if last else None
    if not isinstance(function, Mapping) or is_whole(function.get("arguments", "{}")):
        return None
    return str(function.get("name"))


def _finished_item(item: object) -> tuple[object, list[str]]:
    if not isinstance(item, Mapping) or item.get("status") not in _UNFINISHED:
        return item, []
    kind = str(item.get("type"))
    return (None, [str(item.get("name") or kind)]) if kind.endswith("_call") else (item, [])
