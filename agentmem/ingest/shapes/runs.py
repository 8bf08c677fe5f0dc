"""Messages of Pydantic AI: requests and responses of a run, each of parts; as JSON or as objects.

A request has what the model was told: by the system, by the user, and by tools. What else the
framework tells it, such as to mend an answer, is part of no conversation, and is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from typing import Any, cast

from pydantic import ConfigDict, TypeAdapter

from agentmem.ingest.shapes.plain import as_text

_KINDS = ("request", "response")
_FAILED = ("failed", "retried")


def is_run_message(item: object) -> bool:
    """Whether something is a request or a response as an object, which is a data class."""
    return is_dataclass(item) and getattr(item, "kind", None) in _KINDS and hasattr(item, "parts")


def dataclass_dict(item: object) -> object:
    """A request or a response as `run_messages` takes it."""
    kind = cast("Hashable", type(item))
    return _adapter(kind).dump_python([item], mode="json", warnings=False)[0]


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    # Files are bytes, which as they are would be no JSON.
    return TypeAdapter(list[kind], config=ConfigDict(ser_json_bytes="base64"))  # type: ignore[valid-type]


def run_messages(item: Mapping[str, Any], skipped: Counter[str]) -> list[Any] | None:
    """The messages in a request or a response; None if it is neither.

    Args:
        item: A dict.
        skipped: Counts parts without text, by kind.
    """
    parts = item.get("parts")
    if item.get("kind") not in _KINDS or not isinstance(parts, list | tuple):
        return None
    if not all(isinstance(one, Mapping) and isinstance(one.get("part_kind"), str) for one in parts):
        return None
    if item["kind"] == "request":
        return list(_asked(item, parts, skipped))
    blocks = [block for one in parts for block in _answered(one)]
    return [{"role": "assistant", "content": blocks}] if blocks else []


def _asked(
    request: Mapping[str, Any], parts: Sequence[Mapping[str, Any]], skipped: Counter[str]
) -> Iterator[dict[str, Any]]:
    if isinstance(told := request.get("instructions"), str) and told.strip():
        yield {"role": "system", "content": told}
    for part in parts:
        kind, content = part["part_kind"], part.get("content")
        when = {"timestamp": part["timestamp"]} if part.get("timestamp") is not None else {}
        tool = {key: part[key] for key in ("tool_name", "tool_call_id") if part.get(key)}
        if kind == "system-prompt":
            yield {"role": "system", "content": content}
        elif kind == "user-prompt":
            yield {"role": "user", "content": _blocks(content), **when}
        elif kind == "speech" and part.get("transcript"):
            yield {"role": "user", "content": part["transcript"], **when}
        elif kind == "tool-return":
            failed = {"is_error": True} if part.get("outcome") in _FAILED else {}
            yield {"role": "tool", "content": as_text(content), **tool, **failed, **when}
        elif kind == "compaction":
            yield {"role": "user", "content": [{"type": "compaction", "content": content}], **when}
        elif kind == "retry-prompt" and part.get("tool_name"):
            yield {"role": "tool", "content": as_text(content), "is_error": True, **tool, **when}
        else:
            skipped[kind] += 1


def _answered(part: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A part of a response as a block."""
    kind, content = part["part_kind"], part.get("content")
    if kind == "text":
        yield {"type": "text", "text": content}
    elif kind == "speech" and part.get("transcript"):
        yield {"type": "text", "text": part["transcript"]}
    elif kind == "compaction":
        yield {"type": "compaction", "content": content}
    elif kind in ("tool-call", "builtin-tool-call"):
        call = {"name": part.get("tool_name"), "arguments": part.get("args")}
        yield {"type": "tool_call", "id": part.get("tool_call_id"), **call}
    elif kind == "builtin-tool-return":
        known = {key: part[key] for key in ("tool_name", "tool_call_id") if part.get(key)}
        yield {"type": "tool_result", "content": as_text(content), **known}
    else:
        yield {"type": kind}


def _blocks(content: object) -> object:
    """What a user said: a text, or a list of texts, links and files."""
    if not isinstance(content, list | tuple):
        return content
    return [
        {"type": str(one.get("kind") or "file")} if isinstance(one, Mapping) else one
        for one in content
    ]
