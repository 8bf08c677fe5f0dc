"""A reply that was cut off inside a tool call left half of the call in the store: ``f({"a": )``."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from agentmem import AsyncMemory, Memory, wrap
from agentmem.chat.cut_off import CUT_OFF, is_whole
from agentmem.testing import tiny_model
from tests.support.llm import ANTHROPIC_KEY, OPENAI_KEY, FakeLLM, Scripted, fake_llm

APIS = ("completions", "responses", "messages")
ASKED = {"role": "user", "content": "Look it up."}
SAID = "I will look."
WHOLE, HALF = '{"name": "Marta"}', '{"name": "Ma'


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLLM]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with fake_llm() as server:
        yield server


def endpoint(api: str, llm: FakeLLM, memory: Any, *, asynchronous: bool = False) -> Any:
    kinds = (AsyncAnthropic, AsyncOpenAI) if asynchronous else (Anthropic, OpenAI)
    client: Any
    if api == "messages":
        client = kinds[0](base_url=llm.url, api_key=ANTHROPIC_KEY, max_retries=0)
    else:
        client = kinds[1](base_url=f"{llm.url}/v1", api_key=OPENAI_KEY, max_retries=0)
    wrapped = wrap(client, memory=memory, session_id="s")
    return wrapped.chat.completions if api == "completions" else getattr(wrapped, api)


def request(api: str, **more: Any) -> dict[str, Any]:
    if api == "responses":
        return {"model": "tiny", "input": [ASKED], **more}
    return {"model": "tiny", "messages": [ASKED], **more} | (
        {"max_tokens": 9} if api == "messages" else {}
    )


def completion_events(calls: list[str], reason: str | None) -> list[dict[str, Any]]:
    head = {"id": "x", "object": "chat.completion.chunk", "created": 12, "model": "tiny"}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": SAID}]
    for at, arguments in enumerate(calls):
        function = {"name": f"find{at}", "arguments": ""}
        opened = {"index": at, "id": f"c{at}", "type": "function", "function": function}
        pieces = [arguments[:5], arguments[5:]]
        deltas += [{"tool_calls": [opened]}]
        deltas += [{"tool_calls": [{"index": at, "function": {"arguments": p}}]} for p in pieces]
    found = [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]
    end = {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    return [*found, end] if reason else found


def message_events(calls: list[str], reason: str | None) -> list[dict[str, Any]]:
    message = {
        **{"id": "m", "type": "message", "role": "assistant", "model": "tiny", "content": []},
        **{"stop_reason": None, "stop_sequence": None},
        "usage": {"input_tokens": 9, "output_tokens": 1},
    }
    found: list[dict[str, Any]] = [{"type": "message_start", "message": message}]

    def block(at: int, opened: dict[str, Any], *deltas: dict[str, Any], ends: bool = True) -> None:
        found.append({"type": "content_block_start", "index": at, "content_block": opened})
        found.extend({"type": "content_block_delta", "index": at, "delta": one} for one in deltas)
        if ends:
            found.append({"type": "content_block_stop", "index": at})

    block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": SAID})
    for at, arguments in enumerate(calls):
        opened = {"type": "tool_use", "id": f"c{at}", "name": f"find{at}", "input": {}}
        pieces = [arguments[:5], arguments[5:]] if arguments else []
        deltas = [{"type": "input_json_delta", "partial_json": one} for one in pieces]
        block(at + 1, opened, *deltas, ends=arguments == WHOLE or reason is not None)
    if reason:
        delta = {"stop_reason": reason, "stop_sequence": None}
        found.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 5}})
        found.append({"type": "message_stop"})
    return found


def items(calls: list[str]) -> list[dict[str, Any]]:
    content = [{"type": "output_text", "text": SAID, "annotations": []}]
    message = {"id": "m", "type": "message", "role": "assistant", "status": "completed"}
    found: list[dict[str, Any]] = [{**message, "content": content}]
    for at, arguments in enumerate(calls):
        call = {"id": f"f{at}", "type": "function_call", "call_id": f"c{at}", "name": f"find{at}"}
        status = "completed" if arguments == WHOLE else "incomplete"
        found.append({**call, "arguments": arguments, "status": status})
    return found


def response(calls: list[str]) -> dict[str, Any]:
    return {
        **{"id": "resp_1", "object": "response", "created_at": 12, "model": "tiny"},
        **{"status": "incomplete", "output": items(calls), "tools": [], "tool_choice": "auto"},
        **{"parallel_tool_calls": True, "error": None, "instructions": None, "metadata": {}},
        **{"incomplete_details": {"reason": "max_output_tokens"}},
    }


def response_events(calls: list[str], reason: str | None) -> list[dict[str, Any]]:
    done = items(calls if reason else [one for one in calls if one == WHOLE])
    found: list[dict[str, Any]] = [
        {"type": "response.output_item.done", "output_index": at, "item": item}
        for at, item in enumerate(done)
    ]
    if reason:
        found.append({"type": "response.incomplete", "response": response(calls)})
    return [{**one, "sequence_number": at} for at, one in enumerate(found)]


def stream(api: str, calls: list[str], reason: str | None) -> Scripted:
    made = {
        "completions": completion_events,
        "messages": message_events,
        "responses": response_events,
    }[api](calls, reason)
    named = [f"event: {one['type']}\n" if "type" in one else "" for one in made]
    body = "".join(
        f"{name}data: {json.dumps(one)}\n\n" for name, one in zip(named, made, strict=True)
    )
    done = "data: [DONE]\n\n" if api == "completions" and reason else ""
    return Scripted(200, f"{body}{done}".encode(), {"Content-Type": "text/event-stream"})


def stored(memory: Memory) -> list[str]:
    return [chunk.text for chunk in memory.list(session_id="s")]


CUT = {"completions": "length", "messages": "max_tokens", "responses": "max_output_tokens"}
FOUND = f"find0({WHOLE})"


def same(texts: list[str], expected: list[str]) -> bool:
    """Whether texts are equal, but for spaces in JSON."""
    return ["".join(one.split()) for one in texts] == ["".join(one.split()) for one in expected]


@pytest.mark.parametrize("limited", [False, True], ids=["closed", "limit"])
@pytest.mark.parametrize(
    ("calls", "kept"),
    [([HALF], []), ([""], []), ([WHOLE, HALF], [FOUND]), ([WHOLE], [FOUND])],
    ids=["half", "begun", "second", "whole"],
)
@pytest.mark.parametrize("api", APIS)
def test_a_stream_that_is_cut_off_inside_a_call(
    api: str, calls: list[str], kept: list[str], limited: bool, llm: FakeLLM, memory: Memory
) -> None:
    llm.scripted = stream(api, calls, CUT[api] if limited else None)
    for _ in endpoint(api, llm, memory).create(**request(api, stream=True)):
        pass
    assert same(stored(memory), [ASKED["content"], SAID, *kept])


def test_a_stream_that_the_caller_closes_inside_a_call(
    llm: FakeLLM, memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    llm.scripted = stream("completions", [HALF], "stop")
    opened = endpoint("completions", llm, memory).create(**request("completions", stream=True))
    with opened, caplog.at_level(logging.WARNING):
        for _ in range(3):
            next(opened)
    assert stored(memory) == [ASKED["content"], SAID]
    assert "cut off in a call of find0" in caplog.text


@pytest.mark.parametrize("api", APIS)
def test_asynchronously(api: str, llm: FakeLLM, tmp_path: Path) -> None:
    llm.scripted = stream(api, [WHOLE, HALF], None)

    async def ask() -> list[str]:
        async with AsyncMemory(tmp_path / "store", model=tiny_model()) as memory:
            create = endpoint(api, llm, memory, asynchronous=True).create
            async for _ in await create(**request(api, stream=True)):
                pass
            return [chunk.text async for chunk in memory.list(session_id="s")]

    assert same(asyncio.run(ask()), [ASKED["content"], SAID, FOUND])


def replies() -> dict[str, Any]:
    functions = [{"name": f"find{at}", "arguments": one} for at, one in enumerate((WHOLE, HALF))]
    calls = [{"id": one["name"], "type": "function", "function": one} for one in functions]
    message = {"role": "assistant", "content": SAID, "tool_calls": calls}
    uses = [
        {"type": "tool_use", "id": f"c{at}", "name": f"find{at}", "input": {"name": name}}
        for at, name in enumerate(("Marta", "Ma"))
    ]
    content = [{"type": "text", "text": SAID}, *uses]
    return {
        "completions": {"choices": [{"message": message, "finish_reason": "length"}]},
        "messages": {"role": "assistant", "content": content, "stop_reason": "max_tokens"},
        "responses": response([WHOLE, HALF]),
        "items": items([WHOLE, HALF]),
    }


@pytest.mark.parametrize("api", replies())
def test_a_whole_reply_that_reached_a_limit(api: str, memory: Memory) -> None:
    session = memory.session(session_id="s")
    receipt = session.observe([ASKED], replies()[api])
    assert receipt is not None
    assert receipt.skipped == {CUT_OFF: 1}
    assert same(stored(memory), [ASKED["content"], SAID, FOUND])


def test_what_was_not_cut_off_is_stored_as_it_is(memory: Memory) -> None:
    odd = {"id": "c", "type": "function", "function": {"name": "find", "arguments": HALF}}
    for reason in ("tool_calls", "stop", None):
        message = {"role": "assistant", "content": reason, "tool_calls": [odd]}
        session = memory.session(session_id=f"of {reason}")
        session.observe([ASKED], {"choices": [{"message": message, "finish_reason": reason}]})
        texts = [chunk.text for chunk in memory.list(session_id=f"of {reason}")]
        assert f"find({HALF})" in texts
    kept = {"role": "assistant", "content": "", "tool_calls": [odd]}
    assert memory.session(session_id="s").observe([], kept) is not None
    assert stored(memory) == [f"find({HALF})"]


@pytest.mark.parametrize(
    ("given", "whole"), [("{}", True), ("[1]", True), ("", False), ('{"a": ', False), (None, False)]
)
def test_arguments_that_are_json_to_their_end(given: Any, whole: bool) -> None:
    assert is_whole(given) is whole
