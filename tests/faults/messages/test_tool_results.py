"""A tool's failure, name or text was lost when it stood under another vendor's key."""

from __future__ import annotations

from typing import Any

import pytest

from agentmem import Memory
from agentmem.ingest.normalize import normalize

FAILURES: list[dict[str, Any]] = [
    {"is_error": True},
    {"isError": True},
    {"status": "error"},
    {"status": "failed"},
    {"success": False},
    {"error": True},
    {"return_code": 1},
    {"exitCode": 127},
]


@pytest.mark.parametrize("failure", FAILURES, ids=str)
def test_a_failure_is_no_duplicate_of_a_success(failure: dict[str, Any], memory: Memory) -> None:
    message = {"role": "tool", "toolCallId": "1", "content": "x"}
    memory.add(message | {key: None for key in failure})
    memory.add(message | failure)
    first, second = memory.list()
    assert "is_error" not in first.metadata
    assert second.metadata == {"tool_call_id": "1", "is_error": True}


@pytest.mark.parametrize("failure", FAILURES, ids=str)
def test_a_block_says_that_it_failed(failure: dict[str, Any]) -> None:
    block = {"type": "tool_result", "tool_use_id": "1", "content": "x", **failure}
    (part,) = normalize({"role": "user", "content": [block]}).parts
    assert (part.text, part.metadata["is_error"]) == ("x", True)


@pytest.mark.parametrize(
    "success",
    [{"error": False}, {"success": True}, {"return_code": 0}, {"status": "success"}, {"error": ""}],
    ids=str,
)
def test_a_success_is_no_failure(success: dict[str, Any]) -> None:
    for message in (
        {"role": "tool", "tool_call_id": "1", "content": "x", **success},
        {"type": "tool_result", "tool_use_id": "1", "content": "x", **success},
    ):
        (part,) = normalize([message]).parts
        assert (part.text, part.metadata) == ("x", {"tool_call_id": "1"})


@pytest.mark.parametrize(
    "content",
    [
        {"type": "bash_code_execution_result", "stdout": "x", "return_code": 1},
        [{"stdout": "x", "outcome": {"type": "exit", "exit_code": 2}}],
        [{"stdout": "x", "outcome": {"type": "timeout"}}],
    ],
    ids=str,
)
def test_a_program_that_failed(content: Any) -> None:
    block = {"type": "bash_code_execution_tool_result", "tool_use_id": "b", "content": content}
    (part,) = normalize([block]).parts
    assert part.metadata == {"tool_call_id": "b", "is_error": True}


@pytest.mark.parametrize("key", ["tool_name", "toolName"])
def test_results_of_two_tools_are_two(key: str, memory: Memory) -> None:
    memory.add({"role": "tool", key: "lock_door", "content": "ok"})
    memory.add({"role": "tool", key: "lights_off", "content": "ok"})
    assert [one.metadata for one in memory.list()] == [
        {"tool": "lock_door"},
        {"tool": "lights_off"},
    ]


@pytest.mark.parametrize("key", ["output", "text", "result", "response", "error", "errorText"])
def test_text_beside_the_content_is_stored(key: str) -> None:
    message = {"role": "tool", "tool_call_id": "1", "content": "short", key: "another text"}
    block = {"type": "tool_result", "tool_use_id": "1", "content": "short", key: "another text"}
    for one in (message, {"role": "user", "content": [block]}):
        assert [part.text for part in normalize(one).parts] == ["short", "another text"]
    for content in ("", None, []):
        assert [part.text for part in normalize({**message, "content": content}).parts] == [
            "another text"
        ]
    (part,) = normalize({**message, key: " short\n"}).parts
    assert part.text == "short"


STRUCTURED: list[tuple[Any, Any, list[str]]] = [
    ([], {"temp": 22}, ['{"temp": 22}']),
    (
        [{"type": "text", "text": '{"temp":22,"at":1}'}],
        {"at": 1, "temp": 22},
        ['{"temp":22,"at":1}'],
    ),
    ([{"type": "text", "text": "22"}], {"result": 22}, ["22"]),
    ([{"type": "text", "text": "warm"}], {"result": "warm"}, ["warm"]),
    (
        [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        {"result": ["a", "b"]},
        ["a", "b"],
    ),
    ([{"type": "text", "text": "Warm."}], {"temp": 22}, ["Warm.", '{"temp": 22}']),
]


@pytest.mark.parametrize(("content", "structured", "texts"), STRUCTURED, ids=str)
def test_structured_content_of_mcp(content: Any, structured: Any, texts: list[str]) -> None:
    message = {"role": "tool", "tool_call_id": "1", "content": content}
    found = normalize({**message, "structuredContent": structured})
    assert [part.text for part in found.parts] == texts
    assert found.skipped == {}


def test_results_that_agno_lists_in_one_message() -> None:
    calls = [
        {"content": "out words", "tool_name": "f", "tool_call_id": "x"},
        {"content": "more", "tool_name": "g", "tool_call_id": "y"},
    ]
    for content in (None, ["out words", "more"]):
        parts = normalize({"role": "tool", "content": content, "tool_calls": calls}).parts
        assert [(part.text, part.metadata) for part in parts] == [
            ("out words", {"tool": "f", "tool_call_id": "x"}),
            ("more", {"tool": "g", "tool_call_id": "y"}),
        ]


def test_a_result_of_haystack_has_its_tool() -> None:
    origin = {"tool_name": "weather", "arguments": {"city": "Porto"}, "id": "c1"}
    result = {"result": "Rain, 12 degrees.", "origin": origin, "error": True}
    message = {"role": "tool", "meta": {}, "name": None, "content": [{"tool_call_result": result}]}
    (part,) = normalize(message).parts
    assert (part.kind, part.text) == ("tool_result", "Rain, 12 degrees.")
    assert part.metadata == {"tool_call_id": "c1", "is_error": True, "tool": "weather"}
