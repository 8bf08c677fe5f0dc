"""Recognizes the look-ups of `agentmem.chat.tools` in a conversation, and what they returned.

A model that looks something up is given memories as the result of a tool. Stored with the rest of
the conversation, they would be found by the next look-up, and returned inside one another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from agentmem.types import Part

# In a receipt's count of what was left out.
RECALLED = "recalled"
# The fields of a memory as a model sees it, see `agentmem.chat.tools.StoredMemory`.
ALWAYS = frozenset({"id", "text", "speaker", "created_at"})
SOMETIMES = frozenset({"relevance"})
# The arguments of the tool `recall`.
ARGUMENTS = frozenset({"query", "limit", "since", "until"})

_SPACE = re.compile(r"\s*")
_DECODER = json.JSONDecoder()


def is_recalled(part: Part) -> bool:
    """Whether a part is the result of a look-up: memories as JSON, in a list or one by one."""
    # Most results are told by what they lack, and are not read.
    if part.kind != "tool_result" or '"created_at"' not in part.text:
        return False
    try:
        found = list(_items(part.text))
    except (ValueError, RecursionError):
        return False
    return bool(found) and all(map(_is_memory, found))


def is_lookup(part: Part) -> bool:
    """Whether a part is a call of the tool `recall`, which answers nothing, like a question."""
    tool = part.metadata.get("tool")
    # Hosts put the name of a server before it, such as "mcp__memory__recall".
    if part.kind != "tool_call" or not isinstance(tool, str) or tool.rpartition("_")[2] != "recall":
        return False
    try:
        given = json.loads(part.text.removeprefix(f"{tool}(").removesuffix(")"))
    except (ValueError, RecursionError):
        return False
    return isinstance(given, Mapping) and "query" in given and given.keys() <= ARGUMENTS


def _items(text: str) -> Iterator[Any]:
    """The values of a JSON list, of the list under "result", or of JSON values in a row."""
    at = _end_of_space(text, 0)
    while at < len(text):
        value, end = _DECODER.raw_decode(text, at)
        at = _end_of_space(text, end)
        if isinstance(value, Mapping) and value.keys() == {"result"}:
            value = value["result"]
        yield from value if isinstance(value, list) else [value]


def _end_of_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _is_memory(value: object) -> bool:
    return isinstance(value, Mapping) and ALWAYS <= value.keys() <= ALWAYS | SOMETIMES
