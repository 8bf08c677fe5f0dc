"""The types of the blocks of a message's content, as tables, and the keys that stand for a type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentmem.ingest.shapes.plain import is_silent
from agentmem.ingest.shapes.tools import call_id_of, is_hosted

# Type of a text block -> the key of its text.
TEXTS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "text-plain": "text",
    "refusal": "refusal",
}
# Keys of a block's type: of most formats, of LlamaIndex, and of exports of ChatGPT.
TYPES = ("type", "block_type", "content_type")
TYPED = {*TYPES, "parts"}
CALLS = {
    *("tool_use", "server_tool_use", "mcp_tool_use", "function_call", "custom_tool_call"),
    *("tool_call", "tool-call", "server_tool_call", "invalid_tool_call", "mcp_approval_request"),
}
# The ends of the types of results: tool_result, web_search_tool_result, function_call_output ...
RESULTS = (
    "tool_result",
    "tool-result",
    "function_result",
    "tool-error",
    "_call_output",
    "tool_response",
    "tool_call_response",
)
# Counted without looking for text.
SKIPPED = {
    *("step-start", "cache", "item_reference", "mcp_list_tools", "computer_call"),
    *("tool-approval-request", "tool_search_output", "mcp_tool_listing", "fallback"),
}
# Types of a person's answer to a call that needs their consent.
APPROVALS = ("mcp_approval_response", "tool-approval-response")
# Keys that say what a block without a type holds, in the formats of Google and of Bedrock.
KEYED = {
    "text": "text",
    "functionCall": "tool_call",
    "function_call": "tool_call",
    "toolCall": "tool_call",
    "tool_call": "tool_call",
    "toolUse": "tool_call",
    "functionResponse": "tool_result",
    "function_response": "tool_result",
    "toolResponse": "tool_result",
    "tool_response": "tool_result",
    "toolResult": "tool_result",
    "tool_call_result": "tool_result",
    "executableCode": "code",
    "executable_code": "code",
    "codeExecutionResult": "tool_result",
    "code_execution_result": "tool_result",
    "audioTranscription": "transcript",
    "audio_transcription": "transcript",
    "guardContent": "transcript",
    "citationsContent": "transcript",
    "searchResult": "transcript",
    "json": "json",
    "inlineData": "media",
    "inline_data": "media",
    "fileData": "media",
    "file_data": "media",
    "image": "media",
    "document": "document",
    "video": "media",
    "audio": "media",
    "reasoningContent": "media",
    "cachePoint": "media",
}


def is_known(kind: object) -> bool:
    """Whether the type of a block, or of an item that stands for a message, is known."""
    return isinstance(kind, str) and (
        kind in (*TEXTS, *CALLS, *SKIPPED, *APPROVALS, "compaction") or kind.endswith(RESULTS)
    )


def is_vendors(kind: str) -> bool:
    """Whether a type is one of a vendor's, whose other fields are known to be no text."""
    return (
        is_known(kind)
        or is_hosted(kind)
        or is_silent(kind)
        or kind in ("search_result", "non_standard")
        or kind.startswith(("tool-", "dynamic-tool", "data-"))
        or kind.endswith("_call")
    )


def is_titled(kind: str, block: Mapping[str, Any]) -> bool:
    """Whether a text is a document of LangChain's, with what it is beside it."""
    return kind == "text-plain" and bool(block.get("title") or block.get("context"))


def call_ids(content: object) -> set[object]:
    """Ids of the calls among the blocks of a message's content."""
    blocks = content if isinstance(content, list | tuple) else ()
    found = {call_id_of(block) for block in blocks if block_type(block) in CALLS}
    for block in blocks:
        inner = block.get("toolInvocation", block) if isinstance(block, Mapping) else None
        if isinstance(inner, Mapping) and inner.get("toolCallId") is not None:
            found.add(inner["toolCallId"])
    return found


def block_type(block: object) -> str | None:
    """The type of a block: its own, or that of the key which stands for it."""
    if not isinstance(block, Mapping):
        return None
    kind = next((block[key] for key in TYPES if block.get(key)), None)
    if isinstance(kind, str):
        return str(kind)
    return next(iter(filled_keys(block)), None) if kind is None else None


def filled_keys(block: Mapping[str, Any]) -> list[str]:
    """The keys that say what a block without a type holds; empty ones only if all are.

    Messages that are dumped with their default values have an empty text beside a call.
    """
    known = [key for key, value in block.items() if value is not None and key in KEYED]
    return [key for key in known if block[key]] or known[:1]
