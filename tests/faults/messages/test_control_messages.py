"""AutoGen's results were stored as a user's, and one RemoveMessage failed a whole list."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agentmem import AsyncMemory, Memory
from agentmem.errors import InputError
from agentmem.ingest.normalize import normalize
from agentmem.testing import tiny_model
from tests.support.cli import Cli

COMMON: dict[str, Any] = {"models_usage": None, "metadata": {}, "id": "m1"}
CALL = {"id": "call_1", "arguments": '{"city": "Lyon"}', "name": "weather"}
RESULT = {"content": "Rain.", "name": "weather", "call_id": "call_1", "is_error": False}


def event(kind: str, content: Any, source: str = "forecaster", **more: Any) -> dict[str, Any]:
    return {**COMMON, "type": kind, "source": source, "content": content, **more}


USED = {"prompt_tokens": 9, "completion_tokens": 3}
RUN = [
    event("TextMessage", "Will it rain in Lyon?", source="user"),
    event("ToolCallRequestEvent", [CALL]),
    event("ToolCallExecutionEvent", [RESULT]),
    event("ToolCallSummaryMessage", "Rain.", tool_calls=[CALL], results=[RESULT]),
]
REMOVE = {"type": "remove", "content": "", "id": "m0"}


def told(content: Any) -> list[tuple[str, str | None, str | None, str]]:
    return [(part.kind, part.role, part.name, part.text) for part in normalize(content).parts]


def test_a_run_of_autogen_says_who_spoke_and_what_was_called() -> None:
    assert told(RUN) == [
        ("message", "user", None, "Will it rain in Lyon?"),
        ("tool_call", "assistant", "forecaster", 'weather({"city": "Lyon"})'),
        ("tool_result", "tool", None, "Rain."),
        ("message", "assistant", "forecaster", "Rain."),
    ]
    _, call, result, _ = normalize(RUN).parts
    assert call.metadata["tool_call_id"] == result.metadata["tool_call_id"] == "call_1"
    assert result.metadata["tool"] == "weather"
    assert result.metadata["is_error"] is False


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            event("TextMessage", "It rains.", models_usage=USED),
            ("message", "assistant", "forecaster", "It rains."),
        ),
        (event("HandoffMessage", "To Bo."), ("message", "assistant", "forecaster", "To Bo.")),
        (event("StopMessage", "Done."), ("message", "assistant", "forecaster", "Done.")),
        (
            event("StructuredMessage", {"rain": True}),
            ("message", "assistant", "forecaster", '{"rain": true}'),
        ),
        (
            event("MultiModalMessage", ["My cat.", {"data": "aGk="}], source="user"),
            ("message", "user", None, "My cat."),
        ),
        (event("UserMessage", "Hi.", source="Ana"), ("message", "user", "Ana", "Hi.")),
        (
            event("AssistantMessage", [CALL]),
            ("tool_call", "assistant", "forecaster", 'weather({"city": "Lyon"})'),
        ),
        (
            {"type": "FunctionExecutionResultMessage", "content": [RESULT]},
            ("tool_result", "tool", None, "Rain."),
        ),
        (
            event("CodeExecutionEvent", None, result={"output": "42", "exit_code": 0}),
            ("tool_result", "tool", None, "42"),
        ),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_each_type_of_autogen(message: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert told(message) == [expected]


@pytest.mark.parametrize("kind", ["TextMessage", "MultiModalMessage"])
def test_a_source_that_may_be_a_person_is_not_guessed(kind: str) -> None:
    with pytest.raises(InputError, match="'forecaster' does not say who speaks; give it a 'role'"):
        normalize(event(kind, "It rains."))


def test_a_failed_call_of_autogen_is_a_failure() -> None:
    failed = event("ToolCallExecutionEvent", [{**RESULT, "is_error": True}])
    assert normalize(failed).parts[0].metadata["is_error"] is True
    crashed = event("CodeExecutionEvent", None, result={"output": "no", "exit_code": 1})
    assert normalize(crashed).parts[0].metadata["is_error"] is True


@pytest.mark.parametrize(
    "control",
    [
        REMOVE,
        {**REMOVE, "id": "__remove_all__"},
        event("SelectSpeakerEvent", ["Bo"]),
        event("UserInputRequestedEvent", ""),
        event("ModelClientStreamingChunkEvent", "It ra"),
        event("MemoryQueryEvent", [{"content": "likes tea", "mime_type": "text/plain"}]),
    ],
    ids=lambda one: one["type"],
)
def test_what_only_steers_is_counted(control: dict[str, Any]) -> None:
    found = normalize(["Hello.", control, {"role": "assistant", "content": "Hi."}])
    assert [part.text for part in found.parts] == ["Hello.", "Hi."]
    assert found.skipped == {control["type"]: 1}
    alone = normalize(control)
    assert (alone.parts, alone.skipped) == ((), {control["type"]: 1})


def test_a_remove_message_of_langchain_itself() -> None:
    messages = pytest.importorskip("langchain_core.messages")
    removal = messages.RemoveMessage(id="m0")
    found = normalize([messages.HumanMessage("Hello."), removal, messages.AIMessage("Hi.")])
    assert [part.text for part in found.parts] == ["Hello.", "Hi."]
    assert found.skipped == {"remove": 1}


def test_a_removal_with_a_text_is_refused_as_before() -> None:
    with pytest.raises(InputError, match="does not say who speaks"):
        normalize({**REMOVE, "content": "Hello."})


def test_in_a_store_asynchronously_and_on_the_command_line(tmp_path: Path) -> None:
    given = [*RUN, REMOVE]
    with Memory(":memory:", model=tiny_model()) as memory:
        receipt = memory.add(given)
        assert receipt.skipped == {"remove": 1}
        assert [one.role for one in memory.list()] == ["user", "assistant", "tool", "assistant"]

    async def roles() -> list[str | None]:
        async with AsyncMemory(tmp_path / "async", model=tiny_model()) as memory:
            await memory.add(given)
            return [one.role async for one in memory.list()]

    assert asyncio.run(roles()) == ["user", "assistant", "tool", "assistant"]
    file = tmp_path / "run.json"
    file.write_text(json.dumps(given))
    cli = Cli(tmp_path / "cli")
    assert "remove" in cli.ok("add", "--file", file)
    assert "forecaster" in cli.ok("list", "--json")
