"""Messages of Pydantic AI as JSON and answers of batches were refused by name."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agentmem import AsyncMemory, Memory
from agentmem.errors import InputError
from agentmem.ingest.normalize import normalize
from agentmem.models.bundle.load import ModelBundle
from tests.support.cli import Cli

# As `ModelMessagesTypeAdapter.dump_json` writes it.
RUN: list[dict[str, Any]] = [
    {
        "parts": [
            {"content": "Be brief.", "timestamp": "2026-05-03T09:00:00Z", "dynamic_ref": None}
            | {"part_kind": "system-prompt"},
            {
                "content": [
                    "When is my train?",
                    {"url": "https://example.com/a.png", "kind": "image-url"},
                ],
                "timestamp": "2026-05-03T09:00:01Z",
                "part_kind": "user-prompt",
            },
        ],
        "instructions": None,
        "kind": "request",
        "run_id": "r1",
    },
    {
        "parts": [
            {"content": "I should look.", "id": None, "signature": None, "part_kind": "thinking"},
            {"content": "Let me look.", "id": None, "part_kind": "text"},
            {
                "tool_name": "timetable",
                "args": '{"day": "Friday"}',
                "tool_call_id": "c1",
                "part_kind": "tool-call",
            },
        ],
        "usage": {"input_tokens": 12, "output_tokens": 7},
        "model_name": "m",
        "timestamp": "2026-05-03T09:00:02Z",
        "kind": "response",
        "finish_reason": "stop",
    },
    {
        "parts": [
            {
                "tool_name": "timetable",
                "content": {"leaves": "9:40"},
                "tool_call_id": "c1",
                "timestamp": "2026-05-03T09:00:03Z",
                "outcome": "success",
                "part_kind": "tool-return",
            },
            {
                "content": "no such day",
                "tool_name": "timetable",
                "tool_call_id": "c2",
                "timestamp": "2026-05-03T09:00:03Z",
                "part_kind": "retry-prompt",
            },
            {"content": "Answer in JSON.", "tool_name": None, "part_kind": "retry-prompt"},
        ],
        "kind": "request",
    },
    {"parts": [{"content": "At 9:40.", "part_kind": "text"}], "kind": "response"},
]
SAID = [
    ("system", "message", "Be brief."),
    ("user", "message", "When is my train?"),
    ("assistant", "message", "Let me look."),
    ("assistant", "tool_call", 'timetable({"day": "Friday"})'),
    ("tool", "tool_result", '{"leaves": "9:40"}'),
    ("tool", "tool_result", "no such day"),
    ("assistant", "message", "At 9:40."),
]
ANSWER = {"role": "assistant", "content": "At noon."}
CHAT = {"id": "x", "object": "chat.completion", "choices": [{"index": 0, "message": ANSWER}]}
MESSAGE = {"id": "m", "type": "message", "content": [{"type": "text", "text": "At noon."}]}


def openai(custom_id: str, status: int = 200, **body: Any) -> dict[str, Any]:
    response = {"status_code": status, "request_id": "q", "body": body or CHAT}
    return {"id": "b", "custom_id": custom_id, "response": response, "error": None}


def anthropic(custom_id: str, kind: str = "succeeded", **result: Any) -> dict[str, Any]:
    given = result or {"message": {**MESSAGE, "role": "assistant"}}
    return {"custom_id": custom_id, "result": {"type": kind, **given}}


FAILED = [
    (openai("r2", 400, error={"message": "too long"}), "errored request"),
    (
        {"id": "b", "custom_id": "r3", "response": None, "error": {"code": "batch_expired"}},
        "errored request",
    ),
    (anthropic("r4", "errored", error={"type": "error"}), "errored request"),
    (anthropic("r5", "expired", error=None), "expired request"),
    (anthropic("r6", "canceled", error=None), "canceled request"),
]


def test_a_run_of_pydantic_ai() -> None:
    read = normalize(RUN)
    assert [(part.role, part.kind, part.text) for part in read.parts] == SAID
    assert read.skipped == {"image-url": 1, "thinking": 1, "retry-prompt": 1}
    call, result, failed = read.parts[3:6]
    assert call.metadata == {"tool": "timetable", "tool_call_id": "c1"}
    assert result.metadata == {"tool": "timetable", "tool_call_id": "c1"}
    assert failed.metadata["is_error"] is True
    times = [part.created_at and part.created_at.isoformat() for part in read.parts]
    assert times[1:4] == [f"2026-05-03T09:00:0{n}+00:00" for n in (1, 2, 2)]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"part_kind": "speech", "speaker": "user", "transcript": "Hello."}, ["Hello."]),
        ({"part_kind": "speech", "speaker": "user", "transcript": None}, []),
        ({"part_kind": "compaction", "content": "They met."}, ["They met."]),
        ({"part_kind": "user-prompt", "content": "Hello."}, ["Hello."]),
    ],
)
def test_other_parts_of_a_request(part: dict[str, Any], expected: list[str]) -> None:
    read = normalize([{"kind": "request", "parts": [part]}, "and this"])
    assert [one.text for one in read.parts] == [*expected, "and this"]
    assert bool(read.skipped) == (not expected)


def test_instructions_are_a_system_message() -> None:
    (system, _) = normalize([{**RUN[3], "kind": "response"}, RUN[0]]).parts[1:3]
    assert system.role == "system"
    request = {"kind": "request", "parts": [], "instructions": "Be kind."}
    (only,) = normalize(request).parts
    assert (only.role, only.text) == ("system", "Be kind.")


@pytest.mark.parametrize("line", [openai("r1"), anthropic("r1")], ids=["openai", "anthropic"])
def test_an_answer_of_a_batch(line: dict[str, Any]) -> None:
    (part,) = normalize(line).parts
    assert (part.role, part.text) == ("assistant", "At noon.")
    responses = openai("r1", output=[{**MESSAGE, "role": "assistant"}], object="response")
    assert [part.text for part in normalize(responses).parts] == ["At noon."]


@pytest.mark.parametrize(("line", "kind"), FAILED)
def test_a_request_without_an_answer_is_counted(line: dict[str, Any], kind: str) -> None:
    read = normalize([line, openai("r1")])
    assert [part.text for part in read.parts] == ["At noon."]
    assert read.skipped == {kind: 1}


@pytest.mark.parametrize(
    "item", [{"custom_id": "r"}, {"kind": "request", "parts": [{"part_kind": 3}]}]
)
def test_what_only_looks_like_one_is_refused(item: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        normalize(item)


def test_they_are_stored(memory: Memory) -> None:
    receipt = memory.add(RUN, session_id="s")
    assert len(receipt.ids) == len(SAID)
    assert memory.add(RUN, session_id="s").duplicates == receipt.ids
    assert memory.recall("train", mode="lexical", k=1)[0].text == "When is my train?"


def test_on_the_command_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    path = tmp_path / "batch_output.jsonl"
    path.write_text("\n".join(map(json.dumps, [openai("r1"), anthropic("r2"), FAILED[0][0]])))
    done = cli.json("import", path)
    assert (done["memories"], done["skipped"]) == (2, {"errored request": 1})
    path = tmp_path / "run.json"
    path.write_text(json.dumps(RUN))
    assert cli.json("import", path, "--session", "s")["memories"] == len(SAID)


def test_in_async_memory(place: Path, model: ModelBundle) -> None:
    async def main() -> list[str]:
        async with AsyncMemory(place, model=model) as memory:
            await memory.add([RUN[3], anthropic("r1")])
            return [chunk.text async for chunk in memory.list()]

    assert asyncio.run(main()) == ["At 9:40.", "At noon."]
