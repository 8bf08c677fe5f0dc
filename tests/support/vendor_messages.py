"""Messages as the SDKs of six vendors make them, and their JSON dumps for tests without the SDKs.

``python tests/support/vendor_messages.py`` writes ``tests/data/vendor-messages/NAME.json`` again
for each SDK that is installed: openai, anthropic, google-genai, langchain-core, llama-index-core,
litellm. Vercel's AI SDK is TypeScript: its file is written by hand, after the types of versions 4
to 6.

Each function returns messages of the SDK's own types. Every text that must be stored contains the
word "keep", every text that must not be stored contains "drop".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "data" / "vendor-messages"


def openai_chat() -> list[Any]:
    from openai.types.chat import ChatCompletion, ChatCompletionMessage

    answer = ChatCompletion.model_validate(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1770975600,
            "model": "gpt",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": "keep: a choice", "refusal": None},
                }
            ],
        }
    )
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"q": "keep"}'}}
    ]
    audio = {"id": "a", "data": "drop", "expires_at": 1, "transcript": "keep: spoken"}
    return [
        ChatCompletionMessage.model_validate({"role": "assistant", "content": "keep: plain"}),
        ChatCompletionMessage.model_validate(
            {"role": "assistant", "content": None, "tool_calls": calls}
        ),
        ChatCompletionMessage.model_validate(
            {"role": "assistant", "content": None, "refusal": "keep: refused"}
        ),
        ChatCompletionMessage.model_validate(
            {"role": "assistant", "content": None, "audio": audio}
        ),
        answer,
    ]


def openai_responses() -> list[Any]:
    from openai.types.responses import Response

    items = [
        {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "drop"}]},
        {
            "type": "message",
            "id": "m",
            "role": "assistant",
            "status": "completed",
            "content": [
                {"type": "output_text", "text": "keep: said", "annotations": []},
                {"type": "refusal", "refusal": "keep: refused"},
            ],
        },
        {"type": "function_call", "id": "f", "call_id": "c", "name": "f", "arguments": "keep"},
        {
            "type": "mcp_call",
            "id": "mcp",
            "name": "lookup",
            "server_label": "wiki",
            "arguments": '{"q": "keep"}',
            "output": "keep: from MCP",
        },
        {
            "type": "code_interpreter_call",
            "id": "ci",
            "code": "print('keep')",
            "container_id": "x",
            "status": "completed",
            "outputs": [{"type": "logs", "logs": "keep: logs"}],
        },
        {
            "type": "file_search_call",
            "id": "fs",
            "queries": ["keep: query"],
            "status": "completed",
            "results": [{"file_id": "drop", "filename": "a.md", "text": "keep: found"}],
        },
        {
            "type": "web_search_call",
            "id": "ws",
            "status": "completed",
            "action": {"type": "search", "query": "keep: weather in Lyon"},
        },
        {"type": "image_generation_call", "id": "i", "result": "drop", "status": "completed"},
    ]
    response = {
        "id": "resp",
        "object": "response",
        "created_at": 1770975600,
        "model": "gpt",
        "output": items,
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
    }
    return [Response.model_validate(response)]


def anthropic_messages() -> list[Any]:
    from anthropic.types.beta import BetaMessage

    blocks = [
        {"type": "thinking", "thinking": "drop", "signature": "drop"},
        {"type": "redacted_thinking", "data": "drop"},
        {"type": "text", "text": "keep: said", "citations": None},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"q": "keep"}},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "keep"}},
        {
            "type": "web_search_tool_result",
            "tool_use_id": "s",
            "content": [
                {
                    "type": "web_search_result",
                    "title": "keep: title",
                    "url": "https://example.com",
                    "encrypted_content": "drop",
                    "page_age": None,
                }
            ],
        },
        {
            "type": "web_fetch_tool_result",
            "tool_use_id": "w",
            "content": {
                "type": "web_fetch_result",
                "url": "https://example.com/a",
                "retrieved_at": None,
                "content": {
                    "type": "document",
                    "title": None,
                    "citations": None,
                    "source": {"type": "text", "media_type": "text/plain", "data": "keep: page"},
                },
            },
        },
        {
            "type": "code_execution_tool_result",
            "tool_use_id": "x",
            "content": {
                "type": "code_execution_result",
                "stdout": "keep: stdout",
                "stderr": "keep: stderr",
                "return_code": 0,
                "content": [],
            },
        },
        {
            "type": "bash_code_execution_tool_result",
            "tool_use_id": "b",
            "content": {
                "type": "bash_code_execution_result",
                "stdout": "keep: shell",
                "stderr": "",
                "return_code": 0,
                "content": [],
            },
        },
        {
            "type": "mcp_tool_use",
            "id": "m",
            "name": "read",
            "server_name": "wiki",
            "input": {"page": "keep"},
        },
        {
            "type": "mcp_tool_result",
            "tool_use_id": "m",
            "is_error": False,
            "content": [{"type": "text", "text": "keep: from MCP"}],
        },
    ]
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": blocks,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    return [BetaMessage.model_validate(message)]


def google_genai() -> list[Any]:
    from google.genai import types

    call = types.FunctionCall(id="c", name="f", args={"q": "keep"})
    result = types.FunctionResponse(id="c", name="f", response={"output": "keep: result"})
    code = types.ExecutableCode(code="print('keep')", language=types.Language.PYTHON)
    output = types.CodeExecutionResult(outcome=types.Outcome.OUTCOME_OK, output="keep: output")
    image = types.Blob(data=b"drop", mime_type="image/png")
    answer = types.Content(role="model", parts=[types.Part(text="keep: a candidate")])
    return [
        types.Content(
            role="user",
            parts=[types.Part(text="keep: asked"), types.Part(text="drop", thought=True)],
        ),
        types.Content(
            role="model", parts=[types.Part(function_call=call), types.Part(text="keep: said")]
        ),
        types.Content(role="user", parts=[types.Part(function_response=result)]),
        types.Content(
            role="model",
            parts=[
                types.Part(executable_code=code),
                types.Part(code_execution_result=output),
                types.Part(inline_data=image),
            ],
        ),
        types.GenerateContentResponse(candidates=[types.Candidate(content=answer)]),
    ]


def langchain_core() -> list[Any]:
    from langchain_core import messages as lc

    call = {"name": "f", "args": {"q": "keep"}, "id": "c", "type": "tool_call"}
    return [
        lc.SystemMessage("keep: system"),
        lc.HumanMessage("keep: asked", name="Ana", id="h1"),
        lc.AIMessage("", tool_calls=[call]),
        lc.ToolMessage("keep: result", tool_call_id="c", status="error", name="f"),
        lc.AIMessage(
            [
                {"type": "text", "text": "keep: blocks"},
                {"type": "tool_use", "id": "d", "name": "g", "input": {"q": "keep"}},
                {"type": "reasoning", "reasoning": "drop"},
            ],
            tool_calls=[{"name": "g", "args": {"q": "keep"}, "id": "d", "type": "tool_call"}],
        ),
        lc.AIMessageChunk("keep: a chunk"),
        lc.ChatMessage("keep: chat", role="assistant"),
        lc.FunctionMessage("keep: function", name="old"),
    ]


def llama_index_core() -> list[Any]:
    from llama_index.core.base.llms import types as li

    return [
        li.ChatMessage("keep: asked", role=li.MessageRole.USER),
        li.ChatMessage(
            role="assistant",
            blocks=[
                li.TextBlock(text="keep: first"),
                li.ImageBlock(url="https://example.com/drop.png"),
                li.TextBlock(text="keep: second"),
                li.ThinkingBlock(content="drop"),
                li.ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs={"q": "keep"}),
            ],
        ),
        li.ChatMessage(
            "keep: result", role="tool", additional_kwargs={"tool_call_id": "c", "name": "f"}
        ),
        li.ChatMessage("keep: bot", role=li.MessageRole.CHATBOT),
    ]


def litellm() -> list[Any]:
    from litellm import Message, ModelResponse

    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"q": "keep"}'}}
    return [
        Message(role="assistant", content="keep: said", reasoning_content="drop"),
        Message(role="assistant", content=None, tool_calls=[call]),
        ModelResponse(
            id="chatcmpl-1",
            created=1770975600,
            choices=[
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": "keep: a choice"},
                }
            ],
        ),
    ]


SDKS: dict[str, tuple[str, Callable[[], list[Any]]]] = {
    "openai-chat": ("openai", openai_chat),
    "openai-responses": ("openai", openai_responses),
    "anthropic": ("anthropic", anthropic_messages),
    "google-genai": ("google.genai", google_genai),
    "langchain-core": ("langchain_core", langchain_core),
    "llama-index-core": ("llama_index.core", llama_index_core),
    "litellm": ("litellm", litellm),
}


def dumps() -> dict[str, list[Any]]:
    """The messages of each file, as their SDKs dump them."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(FOLDER.glob("*.json"))
    }


def main() -> None:
    """Write the dumps of the SDKs that are installed."""
    for name, (module, make) in SDKS.items():
        try:
            __import__(module)
        except ImportError:
            continue
        found = [message.model_dump(mode="json") for message in make()]
        text = json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
