"""Results of MCP by themselves: what a tool or a resource gave, as its client returns it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

# What a result of a tool has beside its content, and no message.
_RESULT = ("isError", "is_error", "structuredContent", "structured_content")
_SPEAKER = ("role", "type", "name")


def mcp_result(item: Mapping[str, Any], skipped: Counter[str]) -> list[Any] | None:
    """What is in a result of MCP's; None if it is none.

    Args:
        item: A dict.
        skipped: Counts resources that are no texts.
    """
    if any(item.get(key) is not None for key in _SPEAKER):
        return None
    if isinstance(item.get("jsonrpc"), str) and isinstance(inside := item.get("result"), Mapping):
        return mcp_result(inside, skipped)
    if isinstance(item.get("content"), list | tuple) and any(key in item for key in _RESULT):
        return [{**item, "role": "tool"}]
    given = item.get("contents")
    if not isinstance(given, list | tuple) or not given or not all(map(_is_resource, given)):
        return None
    texts = [one for one in given if isinstance(one.get("text"), str)]
    if len(texts) < len(given):
        skipped["resource"] += len(given) - len(texts)
    return [{"document": {"text": one["text"], "uri": str(one["uri"])}} for one in texts]


def _is_resource(one: object) -> bool:
    return isinstance(one, Mapping) and bool(one.get("uri")) and ("text" in one or "blob" in one)
