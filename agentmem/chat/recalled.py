"""Recognizes the calls of `agentmem.chat.tools` in a conversation, and what they returned.

A model that looks something up is given memories as the result of a tool. Stored with the rest of
the conversation, they would be found by the next look-up, and returned inside one another. What it
remembers is a memory of its own already; the call would be the same text once more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentmem.types import Part

# In a receipt's count of what was left out: results of `recall`; calls of `remember` and theirs.
RECALLED, REMEMBERED = "recalled", "remembered"
# The fields of a memory as a model sees it, see `agentmem.chat.tools.StoredMemory`.
ALWAYS = frozenset({"id", "text", "speaker", "created_at"})
SOMETIMES = frozenset({"relevance"})
# The arguments of the tool `recall`.
ARGUMENTS = frozenset({"query", "limit", "since", "until"})
# Those of `remember`, and the fields of what it returns, see `agentmem.chat.tools.Remembered`.
REMEMBERING = frozenset({"text", "created_at"})
STORED = frozenset({"memories", "ids", "new"})

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
    given = _arguments(part, "recall")
    return given is not None and "query" in given and given.keys() <= ARGUMENTS


def remembering(parts: Sequence[Part]) -> list[int]:
    """The indices of calls of the tool `remember` in a conversation, and of what they returned.

    A call that failed, or was answered by something else, stored nothing; it is not among them.
    """
    found = []
    for at, part in enumerate(parts):
        if part.kind == "tool_result" and _is_receipt(part):
            found.append(at)
        elif _is_remembering(part):
            id = part.metadata.get("tool_call_id")
            result = next((one for one in parts[at + 1 :] if _answers(one, id)), None)
            # Without a result yet, the call was made a moment ago.
            if result is None or _is_receipt(result):
                found.append(at)
    return found


def _is_remembering(part: Part) -> bool:
    given = _arguments(part, "remember")
    text = None if given is None else given.get("text")
    return isinstance(text, str) and given is not None and given.keys() <= REMEMBERING


def _answers(part: Part, id: object) -> bool:
    """Whether a part is the result of a call; of one without an id, the next result is."""
    return part.kind == "tool_result" and id in (None, part.metadata.get("tool_call_id"))


def _is_receipt(part: Part) -> bool:
    """Whether a part is what `remember` returns."""
    if '"memories"' not in part.text:
        return False
    try:
        found = list(_items(part.text))
    except (ValueError, RecursionError):
        return False
    return bool(found) and all(isinstance(one, Mapping) and one.keys() == STORED for one in found)


def _arguments(part: Part, name: str) -> Mapping[str, Any] | None:
    """The arguments of a call of one of the tools; None if the part is none."""
    tool = part.metadata.get("tool")
    # Hosts put the name of a server before it, such as "mcp__memory__recall".
    if part.kind != "tool_call" or not isinstance(tool, str) or tool.rpartition("_")[2] != name:
        return None
    try:
        given = json.loads(part.text.removeprefix(f"{tool}(").removesuffix(")"))
    except (ValueError, RecursionError):
        return None
    return given if isinstance(given, Mapping) else None


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
