"""Messages and events of AutoGen: who speaks is their "source", and their type says of what.

A source is any name, of a person or an agent. Calls, their results and summaries are an agent's,
and so is what a model was used for. Of other messages, only those of AutoGen's own "user" are
certain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentmem.ingest.shapes.fields import ROLES
from agentmem.ingest.shapes.plain import as_text
from agentmem_storage.errors import InputError
from agentmem_storage.text import shown

# What somebody says. A summary of tool calls repeats what the events before it hold.
_SAID = frozenset(
    "TextMessage MultiModalMessage StructuredMessage HandoffMessage StopMessage "
    "ToolCallSummaryMessage CodeGenerationEvent UserMessage AssistantMessage".split()
)
_ANYBODYS = frozenset({"TextMessage", "MultiModalMessage"})
_CALLS = "ToolCallRequestEvent"
_RESULTS = frozenset({"ToolCallExecutionEvent", "FunctionExecutionResultMessage"})
_CODE = "CodeExecutionEvent"
# What tells of the run, or repeats: pieces of a message that follows, and memories found for it.
SILENT = frozenset(
    "ModelClientStreamingChunkEvent MemoryQueryEvent SelectSpeakerEvent "
    "SelectorEvent SpeakerSelectedEvent UserInputRequestedEvent ThoughtEvent "
    "CodeExecutorStreamingEvent".split()
)
# The sources of people, by AutoGen's own names.
_PEOPLE = frozenset({"user", "user_proxy", "userproxy", "human"})
_DROPPED = ("type", "source", "tool_calls", "results", "content")


def as_message(item: Mapping[str, Any], where: str) -> Mapping[str, Any] | None:
    """A message of AutoGen's with a role and blocks; None if it is none of its types.

    Raises:
        InputError: it may be a person's as well as an agent's.
    """
    kind, source, content = item.get("type"), item.get("source"), item.get("content")
    if kind not in _RESULTS and not isinstance(source, str):
        return None
    rest = {key: value for key, value in item.items() if key not in _DROPPED}
    if kind in _RESULTS and isinstance(content, list | tuple):
        return {**rest, "role": "assistant", "content": _blocks(content, "tool_result")}
    if kind == _CODE and isinstance(result := item.get("result"), Mapping):
        del rest["result"]
        block = {"type": "tool_result", "name": "code_execution", **result}
        return {**rest, "role": "assistant", "content": [block]}
    if kind not in _SAID and kind != _CALLS:
        return None
    said = {**rest, **_speaker(item, where)}
    if kind == _CALLS or (kind == "AssistantMessage" and isinstance(content, list | tuple)):
        return {**said, "content": _blocks(content, "tool_call")}
    if isinstance(content, list | tuple):
        images = [one if isinstance(one, str) else {"type": "image"} for one in content]
        return {**said, "content": images}
    return {**said, "content": as_text(content) if isinstance(content, Mapping) else content}


def _speaker(item: Mapping[str, Any], where: str) -> dict[str, str]:
    kind, source = item["type"], item["source"]
    if kind == "UserMessage" or (source.lower() in _PEOPLE and kind != "AssistantMessage"):
        role = "user"
    elif kind in _ANYBODYS and not item.get("models_usage"):
        raise InputError(
            f"{where}: its source {shown(source)} does not say who speaks; give it a 'role': "
            f"{', '.join(ROLES)}"
        )
    else:
        role = "assistant"
    return {"role": role} if source.lower() in _PEOPLE else {"role": role, "name": source}


def _blocks(content: object, kind: str) -> list[object]:
    given = content if isinstance(content, list | tuple) else []
    return [{"type": kind, **one} if isinstance(one, Mapping) else one for one in given]
