"""Tools with which a model uses a memory itself."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agentmem import AsyncMemory, Memory
from agentmem.errors import InputError
from agentmem.models.bundle.load import ModelBundle


def test_remember_recall_and_forget(memory: Memory) -> None:
    (theirs,) = memory.add("Bo's locker is 88.", user_id="bo").ids
    tools = memory.scoped(user_id="ana").as_tools("openai")
    first = json.loads(tools.call_tool("remember", '{"text": "Ana\'s locker is 17."}'))
    assert first == {"memories": 1, "ids": [2], "new": True}
    found = json.loads(tools.call_tool("recall", {"query": "locker", "limit": 9}))
    assert [hit["text"] for hit in found] == ["Ana's locker is 17."]
    assert set(found[0]) == {"id", "text", "speaker", "created_at", "relevance"}
    assert "no memory" in tools.call_tool("forget", {"ids": [theirs]})
    assert json.loads(tools.call_tool("forget", {"ids": first["ids"]})) == {"memories": 1}
    assert tools.call_tool("recall", {"query": "locker"}) == "[]"
    assert [chunk.id for chunk in memory.list()] == [theirs]


def test_questions_of_a_conversation_are_no_answers(memory: Memory) -> None:
    """A model was given what the user had asked before, in place of what answers it."""
    asked = "Which locker is mine?"
    memory.session(user_id="ana").observe([{"role": "user", "content": asked}], "The red one.")
    tools = memory.scoped(user_id="ana").as_tools()
    found = json.loads(tools.call_tool("recall", {"query": asked, "limit": 9}))
    assert [one["text"] for one in found] == ["The red one."]


def test_of_a_long_text_not_all_ids_are_returned(memory: Memory) -> None:
    text = " ".join(f"Row {n} has the number {n * n}." for n in range(400))
    tools = memory.as_tools()
    said = tools.call_tool("remember", {"text": text})
    first = json.loads(said)
    assert (first["memories"], first["new"]) == (memory.count(), True)
    assert first["memories"] > len(first["ids"]) == 8
    assert first["ids"] == [chunk.id for chunk in memory.list()][:8]
    assert len(said) < 200
    assert json.loads(tools.call_tool("remember", {"text": text})) == {**first, "new": False}


def test_times(memory: Memory) -> None:
    tools = memory.as_tools()
    tools.call_tool("remember", {"text": "My locker is 17.", "created_at": "2026-03-05"})
    tools.call_tool("remember", {"text": "My locker is 88."})
    assert next(memory.list()).created_at == datetime(2026, 3, 5, tzinfo=UTC)
    for bounds, ids in (({"until": "2026-03-06"}, [1]), ({"since": "2026-03-06"}, [2])):
        found = json.loads(tools.call_tool("recall", {"query": "locker", **bounds}))
        assert [hit["id"] for hit in found] == ids


@pytest.mark.parametrize("format", ["openai", "responses", "anthropic"])
def test_definitions(memory: Memory, format: Any) -> None:
    tools = memory.as_tools(format)
    for name, tool in zip(tools.names, tools.definitions, strict=True):
        inner = tool["function"] if format == "openai" else tool
        assert (tool.get("type") == "function") == (format != "anthropic")
        assert inner["name"] == name
        assert inner["description"].endswith(".")
        schema = inner["input_schema" if format == "anthropic" else "parameters"]
        assert schema["type"] == "object"
        assert schema["required"] == [
            {"remember": "text", "recall": "query", "forget": "ids"}[name]
        ]
    assert json.loads(json.dumps(tools.definitions)) == tools.definitions


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("recall", "{", "error: "),
        ("recall", "[1]", "object"),
        ("recall", None, "arguments must be a JSON object, got None"),
        ("recall", '{"query": "x"}}', "arguments are not JSON"),
        ("recall", "", "query is missing"),
        ("recall", {}, "query is missing"),
        ("recall", {"query": "x", "limit": 0}, "limit should be greater than or equal to 1, not 0"),
        ("recall", {"query": " "}, "blank"),
        ("recall", {"query": "x", "user_id": "bo"}, "no argument 'user_id': give only query, "),
        ("recall", {"query": "x", "since": "soon"}, "since: cannot read the time 'soon'"),
        ("forget", {"ids": []}, "ids is empty: give at least one"),
        ("remember", {"text": " "}, "whitespace"),
    ],
)
def test_a_model_is_told_what_is_wrong(
    memory: Memory, name: str, arguments: Any, said: str
) -> None:
    answer = memory.as_tools().call_tool(name, arguments)
    assert answer.startswith("error: ")
    assert said in answer


@pytest.mark.parametrize(
    "mark", ["<|im_start|>", "</memories>", "[INST]", "</s>", "\u202e", "\U000e0041"]
)
def test_no_mark_of_a_template_is_spelled_out(memory: Memory, mark: str) -> None:
    text = f'Pay "Eve" {mark} \\ n\u00f8w\n{mark}'
    memory.add({"role": "user", "name": f"Eve {mark}", "content": text})
    answer = memory.as_tools().call_tool("recall", {"query": "Who is paid?"})
    assert mark not in answer
    assert "n\u00f8w" in answer
    assert [(one["text"], one["speaker"]) for one in json.loads(answer)] == [(text, f"Eve {mark}")]


def test_what_is_no_tool(memory: Memory) -> None:
    unknown: Any = "mistral"
    with pytest.raises(InputError, match="remember, recall, forget"):
        memory.as_tools().call_tool("stats", {})
    with pytest.raises(InputError, match="mistral"):
        memory.as_tools(unknown)


def test_asyncio(place: Path, model: ModelBundle) -> None:
    async def main() -> None:
        async with AsyncMemory(place, model=model) as memory:
            tools = memory.scoped(user_id="ana").as_tools("anthropic")
            assert len(tools.definitions) == len(tools.names) == 3
            await tools.call_tool("remember", {"text": "The boiler code is 7714."})
            assert "7714" in await tools.call_tool("recall", {"query": "boiler code"})

    asyncio.run(main())
