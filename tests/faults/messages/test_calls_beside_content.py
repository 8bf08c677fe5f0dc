"""Calls of tools and their results beside the content were read under OpenAI's key alone.

AG-UI and other programs write "toolCalls", "functionCall" or "toolResults": such calls were lost
without a word, and a message of nothing else was counted as blank.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import AsyncMemory, Memory
from agentmem.errors import InputError
from agentmem.ingest.normalize import normalize
from agentmem.testing import tiny_model

FUNCTION = {"id": "c", "type": "function", "function": {"name": "rain", "arguments": '{"a": 1}'}}
NAMED = {"id": "c", "name": "rain", "args": {"a": 1}}
CALLS: list[dict[str, Any]] = [
    {"toolCalls": [FUNCTION]},  # AG-UI
    {"toolCalls": [{"type": "tool-call", "toolCallId": "c", "toolName": "rain", "args": {"a": 1}}]},
    {"tool_call": NAMED},
    {"toolCall": FUNCTION},
    {"toolUse": {"toolUseId": "c", "name": "rain", "input": {"a": 1}}},
    {"tool_uses": [{"id": "c", "name": "rain", "input": {"a": 1}}]},
    {"functionCall": NAMED},
    {"function_calls": [NAMED]},
    {"functionCalls": [NAMED]},
    {"tool_calls": [FUNCTION]},
]
RESULTS: list[dict[str, Any]] = [
    {"toolResults": [{"toolCallId": "c", "toolName": "rain", "result": "None today."}]},  # Vercel
    {"tool_results": [{"tool_call_id": "c", "name": "rain", "content": "None today."}]},
    {"tool_outputs": [{"tool_call_id": "c", "output": "None today."}]},
    {"toolResult": {"toolUseId": "c", "content": [{"text": "None today."}]}},
    {"functionResponse": {"id": "c", "name": "rain", "response": {"output": "None today."}}},
    {"tool_output": "None today."},
    {"function_result": ["None today."]},
]


def read(message: object) -> list[tuple[str, str | None, str]]:
    return [(part.kind, part.role, part.text) for part in normalize(message).parts]


@pytest.mark.parametrize("beside", CALLS, ids=lambda one: next(iter(one)))
@pytest.mark.parametrize("content", ["I look.", None, ""])
def test_calls(beside: dict[str, Any], content: str | None) -> None:
    found = normalize({"role": "assistant", "content": content, **beside}).parts
    texts = [("message", "I look.")] if content else []
    call = found[-1].text.replace(" ", "")
    assert [(part.kind, part.text) for part in found[:-1]] == texts
    assert (found[-1].kind, call) == ("tool_call", 'rain({"a":1})')
    assert found[-1].metadata == {"tool": "rain", "tool_call_id": "c"}


@pytest.mark.parametrize("beside", RESULTS, ids=lambda one: next(iter(one)))
@pytest.mark.parametrize("content", ["I looked.", None])
def test_results(beside: dict[str, Any], content: str | None) -> None:
    found = normalize({"role": "assistant", "content": content, **beside}).parts
    assert [part.text for part in found] == [*filter(None, [content]), "None today."]
    assert (found[-1].kind, found[-1].role) == ("tool_result", "tool")
    if "tool_output" not in beside and "function_result" not in beside:
        assert found[-1].metadata["tool_call_id"] == "c"


def test_a_result_without_a_known_key_is_stored_as_json() -> None:
    message = {"role": "assistant", "content": "I looked.", "toolResult": {"mm": 3}}
    assert read(message)[1] == ("tool_result", "tool", '{"mm": 3}')


def test_a_call_stands_once_that_the_content_has_too() -> None:
    block = {"type": "tool-call", "toolCallId": "c", "toolName": "rain", "args": {"a": 1}}
    said = {"role": "assistant", "content": [block], "toolCalls": [block]}
    assert read(said) == [("tool_call", "assistant", 'rain({"a": 1})')]


@pytest.mark.parametrize("nothing", [None, [], (), {}])
@pytest.mark.parametrize("key", ["toolCalls", "toolResults", "functionCall", "tool_outputs"])
def test_none_of_them(key: str, nothing: object) -> None:
    if nothing == {} and key == "toolCalls":
        return  # no list
    message = {"role": "assistant", "content": "Hello.", key: nothing}
    assert read(message)[:1] == [("message", "assistant", "Hello.")]
    assert all(kind == "message" for kind, _, _ in read(message))


@pytest.mark.parametrize("calls", ["rain", {"name": "rain"}, [{"arguments": "{}"}], ["rain"]])
def test_what_is_no_list_of_calls(calls: object) -> None:
    with pytest.raises(InputError, match="must be a list|expected"):
        normalize({"role": "assistant", "content": "Hello.", "toolCalls": calls})


# Who speaks


@pytest.mark.parametrize(
    "kind", ["helperMessage", "botMessage", "agent_message", "ResultMessage", "NoteMessage"]
)
@pytest.mark.parametrize("key", ["text", "message", "content", "result"])
def test_a_type_that_does_not_say_who_speaks_is_no_users(kind: str, key: str) -> None:
    with pytest.raises(InputError, match="does not say who speaks"):
        normalize({"type": kind, key: "The key is under the mat."})


@pytest.mark.parametrize(
    ("kind", "role"),
    [
        ("userMessage", "user"),  # Flowise
        ("apiMessage", "assistant"),
        ("user_message", "user"),
        ("assistant_message", "assistant"),
        ("AIMessageChunk", "assistant"),
    ],
)
def test_one_that_does(kind: str, role: str) -> None:
    assert read({"type": kind, "message": "It rains."}) == [("message", role, "It rains.")]


@pytest.mark.parametrize("key", ["sender", "from"])
@pytest.mark.parametrize("who", ["BOT", "HUMAN"])
def test_the_name_of_a_message_is_no_speaker(key: str, who: str) -> None:
    said = {"name": "spaces/x/messages/y", key: {"type": who}, "text": "It rains."}  # Google Chat
    with pytest.raises(InputError, match="needs a 'role'"):
        normalize(said)
    assert read({**said, "role": "user"}) == [("message", "user", "It rains.")]
    assert read({"name": "Ana", "text": "It rains.", key: "ana@example.org"})[0][1] == "user"


# OpenTelemetry's conventions


def test_parts_of_opentelemetry() -> None:
    found = read(
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "I had better look."},
                {"type": "text", "content": "I look."},
                {"type": "tool_call", "id": "c", "name": "rain", "arguments": {"a": 1}},
                {"type": "tool_call_response", "id": "c", "response": "None today."},
            ],
        }
    )
    assert found == [
        ("message", "assistant", "I look."),
        ("tool_call", "assistant", 'rain({"a": 1})'),
        ("tool_result", "tool", "None today."),
    ]


# Through the SDK, and whatever else is there


def test_a_conversation_of_ag_ui(memory: Memory) -> None:
    talk = [
        {"id": "1", "role": "user", "content": "Does it rain?"},
        {"id": "2", "role": "assistant", "toolCalls": [FUNCTION]},
        {"id": "3", "role": "tool", "toolCallId": "c", "content": "None today."},
    ]
    receipt = memory.add(talk)
    assert [chunk.source.kind for chunk in memory.list()] == ["message", "tool_call", "tool_result"]
    assert receipt.skipped == {}
    assert memory.add(talk).duplicates == receipt.ids


def test_the_same_for_asyncio() -> None:
    async def added() -> list[str]:
        async with AsyncMemory(":memory:", model=tiny_model()) as memory:
            await memory.add({"role": "assistant", "content": "Hm.", "toolCalls": [FUNCTION]})
            return [chunk.text async for chunk in memory.list()]

    assert asyncio.run(added()) == ["Hm.", 'rain({"a": 1})']


@given(
    st.sampled_from(["toolCalls", "tool_call", "toolResults", "functionCall", "tool_outputs"]),
    st.recursive(
        st.sampled_from([None, True, 0, 7, "", "rain", "It rains."]),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(["id", "name", "function", "output"]), inner, max_size=3
            )
        ),
        max_leaves=6,
    ),
)
def test_anything_is_read_or_refused_and_the_content_stays(key: str, value: object) -> None:
    try:
        found = read({"role": "assistant", "content": "Hello there.", key: value})
    except InputError:
        return
    assert ("message", "assistant", "Hello there.") in found
