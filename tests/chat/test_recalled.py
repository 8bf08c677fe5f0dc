"""What the tools of a memory returned is told from what other tools return."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from typing import Any

import pytest

from agentmem import Memory
from agentmem.chat.recalled import (
    ALWAYS,
    ARGUMENTS,
    REMEMBERING,
    SOMETIMES,
    STORED,
    is_lookup,
    is_recalled,
    remembering,
)
from agentmem.chat.tools import Remembered, StoredMemory, tool_functions
from agentmem.types import Part

ONE = {"id": 1, "text": "Marta lives in Porto.", "speaker": "user", "created_at": "2026-05-03"}
TWO = {**ONE, "id": 2, "relevance": 0.5}


def result(text: str) -> Part:
    return Part("tool_result", text, role="tool")


def call(tool: str, arguments: str) -> Part:
    return Part("tool_call", f"{tool}({arguments})", role="assistant", metadata={"tool": tool})


def test_fields_and_arguments_are_those_of_the_tools(memory: Memory) -> None:
    assert set(StoredMemory.model_fields) == ALWAYS | SOMETIMES
    assert set(Remembered.model_fields) == STORED
    tools = {one.__name__: one for one in tool_functions(lambda: memory)}
    assert set(inspect.signature(tools["recall"]).parameters) == ARGUMENTS
    assert set(inspect.signature(tools["remember"]).parameters) == REMEMBERING


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([TWO, TWO]),
        json.dumps([ONE]),
        f" {json.dumps(ONE, indent=2)}\n{json.dumps(TWO, indent=2)}\n",  # blocks of MCP
        json.dumps({"result": [ONE, TWO]}),  # its structured content
    ],
)
def test_memories(text: str) -> None:
    assert is_recalled(result(text))
    assert not is_recalled(Part("message", text, role="user"))


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "It is 7.",
        json.dumps([{**ONE, "city": "Porto"}]),
        json.dumps([ONE, 5]),
        json.dumps([{"id": 1, "created_at": "2026-05-03"}]),
        json.dumps({"result": [ONE], "more": 1}),
        json.dumps([ONE])[:-1],
        json.dumps([ONE]) + " and more",
        "[" * 100_000 + '"created_at"',
    ],
)
def test_what_other_tools_return(text: str) -> None:
    assert not is_recalled(result(text))


@pytest.mark.parametrize("tool", ["recall", "mcp__memory__recall", "memory_recall"])
def test_look_ups(tool: str) -> None:
    assert is_lookup(call(tool, '{"query": "Marta", "limit": 3}'))


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("recall", '{"product": 7}'),
        ("recall", '{"query": "x", "product": 7}'),
        ("recall", '{"query": '),
        ("recall", "[]"),
        ("totalrecall", '{"query": "x"}'),
        ("find", '{"query": "x"}'),
    ],
)
def test_calls_of_other_tools(tool: str, arguments: str) -> None:
    assert not is_lookup(call(tool, arguments))


RECEIPT = json.dumps({"memories": 1, "ids": [1], "new": True})


def with_id(part: Part, id: str) -> Part:
    return replace(part, metadata={**part.metadata, "tool_call_id": id})


@pytest.mark.parametrize("tool", ["remember", "mcp__memory__remember"])
def test_what_was_remembered(tool: str) -> None:
    made = call(tool, '{"text": "I am vegan.", "created_at": "2026-05-03"}')
    assert remembering([made]) == [0]
    assert remembering([made, result(RECEIPT)]) == [0, 1]
    assert remembering([made, result(json.dumps({"result": json.loads(RECEIPT)}))]) == [0, 1]
    assert remembering([made, result("error: the text is blank")]) == []
    assert remembering([made, result(json.dumps({"memories": 1}))]) == []
    pair = [with_id(made, "a"), with_id(made, "b")]
    results = [with_id(result("error: no"), "b"), with_id(result(RECEIPT), "a")]
    assert remembering([*pair, *results]) == [0, 3]


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("remember", '{"fact": "I am vegan."}'),
        ("remember", '{"text": "I am vegan.", "list": 7}'),
        ("remember", '{"text": 7}'),
        ("remember", '{"text": '),
        ("save", '{"text": "I am vegan."}'),
    ],
)
def test_what_another_tool_remembers(tool: str, arguments: str) -> None:
    assert remembering([call(tool, arguments)]) == []


def completions(number: int, query: str, found: str, name: str = "recall") -> list[Any]:
    made = {"name": name, "arguments": query}
    calls = [{"id": f"c{number}", "type": "function", "function": made}]
    return [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": f"c{number}", "content": found},
    ]


def responses(number: int, query: str, found: str, name: str = "recall") -> list[Any]:
    call = {"type": "function_call", "call_id": f"c{number}", "name": name, "arguments": query}
    return [call, {"type": "function_call_output", "call_id": f"c{number}", "output": found}]


def messages(number: int, query: str, found: str, name: str = "recall") -> list[Any]:
    use = {"type": "tool_use", "id": f"c{number}", "name": name, "input": json.loads(query)}
    result = {"type": "tool_result", "tool_use_id": f"c{number}", "content": found}
    return [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]


@pytest.mark.parametrize("shape", [completions, responses, messages])
def test_a_memory_does_not_feed_on_what_its_tools_return(memory: Memory, shape: Any) -> None:
    """Each look-up was stored, and found by the next: memories in memories in memories."""
    ana = memory.scoped(user_id="ana")
    ana.add(["Marta lives in Porto.", "Marta is a dentist."])
    tools, session = ana.as_tools(), ana.session(session_id="s")
    query = '{"query": "Marta", "limit": 9}'
    said: list[Any] = []
    for number in range(3):
        said.append({"role": "user", "content": f"Question {number}: who is Marta?"})
        said += shape(number, query, tools.call_tool("recall", query))
        receipt = session.observe(said, "A dentist.")
        assert receipt is not None
        assert receipt.skipped == {"recalled": number + 1}
        said.append({"role": "assistant", "content": "A dentist."})
    kinds = [chunk.source.kind for chunk in ana.list()][2:]
    assert kinds == ["message", "tool_call", "message"] * 3
    shown = session.context([{"role": "user", "content": "Who is Marta?"}], k=50)[0]["content"]
    assert "recall(" not in shown
    assert "Marta lives in Porto." in shown
    assert session.error is None


@pytest.mark.parametrize("shape", [completions, responses, messages])
def test_what_a_tool_remembers_is_stored_once(memory: Memory, shape: Any) -> None:
    ana = memory.scoped(user_id="ana")
    tools, session = ana.as_tools(), ana.session(session_id="s")
    asked = {"role": "user", "content": "Please keep my diet in mind."}
    text = '{"text": "Ana is vegan."}'
    made, _ = shape(1, text, "", "remember")
    receipt = session.observe([asked], [made])
    assert receipt is not None
    assert receipt.skipped == {"remembered": 1}
    said = [asked, *shape(1, text, tools.call_tool("remember", text), "remember")]
    receipt = session.observe(said, "Noted.")
    assert receipt is not None
    assert receipt.skipped == {"remembered": 2}
    assert [chunk.text for chunk in ana.list()] == [asked["content"], "Ana is vegan.", "Noted."]
    assert session.error is None


def test_what_could_not_be_remembered_is_kept(memory: Memory) -> None:
    session = memory.session()
    said = completions(1, '{"text": "Ana is vegan."}', "error: the disk is full", "remember")
    receipt = session.observe([{"role": "user", "content": "Keep it in mind."}, *said])
    assert receipt is not None
    assert receipt.skipped == {}
    assert [chunk.source.kind for chunk in memory.list()] == ["message", "tool_call", "tool_result"]
