"""What the tools of a memory returned is told from what other tools return."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest

from agentmem import Memory
from agentmem.chat.recalled import ALWAYS, ARGUMENTS, SOMETIMES, is_lookup, is_recalled
from agentmem.chat.tools import StoredMemory, tool_functions
from agentmem.types import Part

ONE = {"id": 1, "text": "Marta lives in Porto.", "speaker": "user", "created_at": "2026-05-03"}
TWO = {**ONE, "id": 2, "relevance": 0.5}


def result(text: str) -> Part:
    return Part("tool_result", text, role="tool")


def call(tool: str, arguments: str) -> Part:
    return Part("tool_call", f"{tool}({arguments})", role="assistant", metadata={"tool": tool})


def test_fields_and_arguments_are_those_of_the_tools(memory: Memory) -> None:
    assert set(StoredMemory.model_fields) == ALWAYS | SOMETIMES
    recall = {one.__name__: one for one in tool_functions(lambda: memory)}["recall"]
    assert set(inspect.signature(recall).parameters) == ARGUMENTS


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


def completions(number: int, query: str, found: str) -> list[Any]:
    made = {"name": "recall", "arguments": query}
    calls = [{"id": f"c{number}", "type": "function", "function": made}]
    return [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": f"c{number}", "content": found},
    ]


def responses(number: int, query: str, found: str) -> list[Any]:
    call = {"type": "function_call", "call_id": f"c{number}", "name": "recall", "arguments": query}
    return [call, {"type": "function_call_output", "call_id": f"c{number}", "output": found}]


def messages(number: int, query: str, found: str) -> list[Any]:
    use = {"type": "tool_use", "id": f"c{number}", "name": "recall", "input": json.loads(query)}
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
