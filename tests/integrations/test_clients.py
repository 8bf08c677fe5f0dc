"""Wrapped clients of OpenAI and Anthropic, against a server on the loopback interface."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from anthropic import Anthropic, AsyncAnthropic, beta_async_tool, beta_tool
from openai import APIStatusError, AsyncOpenAI, OpenAI
from pydantic import BaseModel

from agentmem import AsyncMemory, Memory, wrap
from agentmem.errors import InputError, StoreError
from agentmem.models.bundle.load import ModelBundle
from tests.support.llm import ANTHROPIC_KEY, OPENAI_KEY, FakeLLM, Scripted, fake_llm

ASKED = "Where does my sister Marta live?"
KNOWN = "My sister Marta lives in Porto."
APIS = ("completions", "responses", "messages")
TEXT = ["In ", "Porto", "."]
CALL = ["find", '{"na', 'me": "Marta"}']


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLLM]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with fake_llm() as server:
        yield server


@pytest.fixture
def known(memory: Memory) -> Memory:
    memory.add(KNOWN, user_id="ana")
    return memory


def client(api: str, llm: FakeLLM) -> Any:
    if api == "messages":
        return Anthropic(base_url=llm.url, api_key=ANTHROPIC_KEY, max_retries=0)
    return OpenAI(base_url=f"{llm.url}/v1", api_key=OPENAI_KEY, max_retries=0)


def async_client(api: str, llm: FakeLLM) -> Any:
    if api == "messages":
        return AsyncAnthropic(base_url=llm.url, api_key=ANTHROPIC_KEY, max_retries=0)
    return AsyncOpenAI(base_url=f"{llm.url}/v1", api_key=OPENAI_KEY, max_retries=0)


def resource(api: str, client: Any) -> Any:
    return client.chat.completions if api == "completions" else getattr(client, api)


def request(api: str, messages: Any = ASKED) -> dict[str, Any]:
    if api == "responses":
        return {"model": "tiny", "input": messages}
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    more = {"max_tokens": 99} if api == "messages" else {}
    return {"model": "tiny", "messages": messages, **more}


def sent(llm: FakeLLM) -> list[Any]:
    body = llm.seen[-1].body
    found: list[Any] = body["messages"] if "messages" in body else body["input"]
    return found


def whole(api: str) -> Scripted:
    """A reply in one piece: a text and a call of a tool."""
    text, arguments = "".join(TEXT), "".join(CALL[1:])
    body: dict[str, Any]
    if api == "completions":
        function = {"name": CALL[0], "arguments": arguments}
        calls = [{"id": "c1", "type": "function", "function": function}]
        message = {"role": "assistant", "content": text, "tool_calls": calls}
        body = {
            **{"id": "x", "object": "chat.completion", "created": 12, "model": "tiny"},
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        }
    elif api == "responses":
        body = response("completed", output())
    else:
        body = {
            **{"id": "msg_1", "type": "message", "role": "assistant", "model": "tiny"},
            "content": [
                {"type": "text", "text": text},
                {"type": "tool_use", "id": "c1", "name": CALL[0], "input": json.loads(arguments)},
            ],
            **{"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"input_tokens": 9, "output_tokens": 5},
        }
    return Scripted(200, json.dumps(body).encode())


def output() -> list[dict[str, Any]]:
    content = [{"type": "output_text", "text": "".join(TEXT), "annotations": []}]
    call = {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": CALL[0]}
    return [
        {"id": "m1", "type": "message", "role": "assistant", "status": "completed"}
        | {"content": content},
        {**call, "arguments": "".join(CALL[1:]), "status": "completed"},
    ]


def response(status: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        **{"id": "resp_1", "object": "response", "created_at": 12, "model": "tiny"},
        **{"status": status, "output": items, "tools": [], "parallel_tool_calls": True},
        **{"tool_choice": "auto", "error": None, "incomplete_details": None},
        **{"instructions": None, "metadata": {}, "temperature": 1.0, "top_p": 1.0},
    }


def events(api: str) -> list[dict[str, Any]]:
    """The same as a stream: the first four events have the text."""
    found: list[dict[str, Any]]
    if api == "completions":
        head = {"id": "x", "object": "chat.completion.chunk", "created": 12, "model": "tiny"}
        name, *pieces = CALL
        opened = {"index": 0, "id": "c1", "type": "function"}
        deltas: list[dict[str, Any]] = [
            {"role": "assistant", "content": ""},
            *({"content": piece} for piece in TEXT),
            {"tool_calls": [{**opened, "function": {"name": name, "arguments": ""}}]},
            *({"tool_calls": [{"index": 0, "function": {"arguments": one}}]} for one in pieces),
        ]
        found = [
            {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
            for delta in deltas
        ]
        return [*found, {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]
    if api == "responses":
        message, call = output()
        at = {"item_id": "m1", "output_index": 0, "content_index": 0}
        empty = {**message, "content": [], "status": "in_progress"}
        part = {"type": "output_text", "text": "", "annotations": []}
        created = response("in_progress", [])
        found = [
            {"type": "response.created", "response": created},
            {"type": "response.output_item.added", "output_index": 0, "item": empty},
            {"type": "response.content_part.added", **at, "part": part},
            *(
                {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}
                for piece in TEXT
            ),
            {"type": "response.output_item.done", "output_index": 0, "item": message},
            {"type": "response.output_item.added", "output_index": 1}
            | {"item": {**call, "arguments": ""}},
            {"type": "response.output_item.done", "output_index": 1, "item": call},
            {"type": "response.completed", "response": response("completed", [message, call])},
        ]
        return [{**event, "sequence_number": n} for n, event in enumerate(found)]
    started = json.loads(whole(api).body)
    text, call = started["content"]
    name, *pieces = CALL
    return [
        {"type": "message_start", "message": {**started, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {**text, "text": ""}},
        *(
            {"type": "content_block_delta", "index": 0}
            | {"delta": {"type": "text_delta", "text": piece}}
            for piece in TEXT
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {**call, "input": {}}},
        *(
            {"type": "content_block_delta", "index": 1}
            | {"delta": {"type": "input_json_delta", "partial_json": piece}}
            for piece in pieces
        ),
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None}}
        | {"usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ]


def streamed(api: str) -> Scripted:
    lines = []
    for event in events(api):
        name = f"event: {event['type']}\n" if "type" in event else ""
        lines.append(f"{name}data: {json.dumps(event)}\n\n")
    lines += ["data: [DONE]\n\n"] if api == "completions" else []
    return Scripted(200, "".join(lines).encode(), {"Content-Type": "text/event-stream"})


def said(memory: Memory) -> list[tuple[str, str]]:
    return [(chunk.source.kind, chunk.text) for chunk in memory.list()][1:]


TURN = [
    ("message", ASKED),
    ("message", "In Porto."),
    ("tool_call", 'find({"name": "Marta"})'),
]


@pytest.mark.parametrize("api", APIS)
def test_a_request_is_sent_with_memories_and_its_reply_is_stored(
    api: str, llm: FakeLLM, known: Memory
) -> None:
    llm.scripted = whole(api)
    with wrap(client(api, llm), memory=known, user_id="ana", session_id="s") as wrapped:
        reply = resource(api, wrapped).create(**request(api))
        assert KNOWN in sent(llm)[0]["content"]
        assert sent(llm)[1]["content"] == ASKED
        assert said(known) == TURN
        # The next turn sends back what the SDK gave, as its documentation shows.
        mine: list[Any] = [{"role": "user", "content": ASKED}]
        if api == "completions":
            mine += [
                reply.choices[0].message,
                {"role": "tool", "tool_call_id": "c1", "content": "Porto"},
            ]
        elif api == "responses":
            mine += [
                *reply.output,
                {"type": "function_call_output", "call_id": "c1", "output": "Porto"},
            ]
        else:
            result = {"type": "tool_result", "tool_use_id": "c1", "content": "Porto"}
            mine += [
                {"role": "assistant", "content": reply.content},
                {"role": "user", "content": [result]},
            ]
        resource(api, wrapped).create(**request(api, mine))
        assert len(sent(llm)) == len(mine) + 1
        assert said(known) == [*TURN, ("tool_result", "Porto"), *TURN[1:]]
        assert wrapped.agentmem_session.error is None


@pytest.mark.parametrize("api", APIS)
def test_a_stream_is_stored_when_it_ends(api: str, llm: FakeLLM, known: Memory) -> None:
    llm.scripted = streamed(api)
    wrapped = wrap(client(api, llm), memory=known, user_id="ana", session_id="s")
    with resource(api, wrapped).create(**request(api), stream=True) as stream:
        assert len([*stream]) == len(events(api))
    stream.close()
    assert KNOWN in sent(llm)[0]["content"]
    assert said(known) == TURN


@pytest.mark.parametrize("at_front", [False, True])
@pytest.mark.parametrize("api", APIS)
def test_a_response_that_is_opened_to_be_streamed(
    api: str, llm: FakeLLM, known: Memory, at_front: bool
) -> None:
    def opened(wrapped: Any) -> Any:
        if at_front:
            return resource(api, wrapped.with_streaming_response)
        return resource(api, wrapped).with_streaming_response

    async def streams() -> None:
        async with wrap(async_client(api, llm), memory=known, user_id="ana") as wrapped:
            async with opened(wrapped).create(**request(api, "b"), stream=True) as answer:
                assert answer.status_code == 200
                assert len([one async for one in await answer.parse()]) == len(events(api))
            llm.scripted = whole(api)
            async with opened(wrapped).create(**request(api, "c")) as answer:
                await answer.parse()

    llm.scripted = streamed(api)
    with wrap(client(api, llm), memory=known, user_id="ana") as wrapped:
        with opened(wrapped).create(**request(api), stream=True) as answer:
            assert len([*answer.parse()]) == len(events(api))
        assert KNOWN in sent(llm)[0]["content"]
        assert said(known) == TURN
        # What is read in another way is the client's own.
        with opened(wrapped).create(**request(api, "a"), stream=True) as answer:
            assert "Porto" in "".join(answer.iter_text())
        asyncio.run(streams())
    told = [("message", "a"), *(one for said in "bc" for one in [("message", said), *TURN[1:]])]
    assert said(known) == [*TURN, *told]


@pytest.mark.parametrize("knows", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("api", ["completions", "messages"])
def test_messages_that_can_be_read_once(
    api: str, llm: FakeLLM, memory: Memory, asynchronous: bool, knows: bool
) -> None:
    """A generator had been read when the request was sent: it went out without a message."""
    llm.scripted = whole(api)
    if knows:
        memory.add(KNOWN, user_id="ana")
    made = (async_client if asynchronous else client)(api, llm)
    wrapped = wrap(made, memory=memory, user_id="ana", session_id="s")
    asked = request(api)
    asked["messages"] = (one for one in asked["messages"])
    replied = resource(api, wrapped).create(**asked)
    if asynchronous:

        async def wait() -> None:
            await replied

        asyncio.run(wait())
    assert [one["content"] for one in sent(llm)][knows:] == [ASKED]
    assert ASKED in [chunk.text for chunk in memory.list()]


def read_in_a_block(stream: Any) -> None:
    with stream:
        read_and_close(stream)


def read_and_close(stream: Any) -> None:
    text = ""
    while "Porto" not in text:
        text += next(stream).to_json()
    stream.close()
    stream.close()


def abandon(stream: Any) -> None:
    def replies() -> Iterator[Any]:
        yield from stream

    text = ""
    for event in replies():
        text += event.to_json()
        if "Porto" in text:
            break


@pytest.mark.parametrize("leave", [read_in_a_block, read_and_close, abandon])
@pytest.mark.parametrize("api", APIS)
def test_a_stream_that_is_left_early(
    api: str, llm: FakeLLM, known: Memory, leave: Callable[[Any], None]
) -> None:
    llm.scripted = streamed(api)
    wrapped = wrap(client(api, llm), memory=known, user_id="ana", session_id="s")
    leave(resource(api, wrapped).create(**request(api), stream=True))
    gc.collect()
    assert said(known) == [TURN[0], ("message", "In Porto")]


def test_a_stream_of_which_nothing_is_read(llm: FakeLLM, known: Memory) -> None:
    llm.scripted = streamed("completions")
    wrapped = wrap(client("completions", llm), memory=known, user_id="ana", session_id="s")
    wrapped.chat.completions.create(**request("completions"), stream=True).close()
    assert said(known) == TURN[:1]


@pytest.mark.parametrize("api", APIS)
def test_the_helpers_of_the_sdks_for_streams(api: str, llm: FakeLLM, known: Memory) -> None:
    llm.scripted = streamed(api)
    wrapped = wrap(client(api, llm), memory=known, user_id="ana", session_id="s")
    with resource(api, wrapped).stream(**request(api)) as stream:
        if api == "messages":
            assert "".join(stream.text_stream) == "In Porto."
        stream.until_done()
    assert KNOWN in sent(llm)[0]["content"]
    assert said(known) == TURN


def test_an_answer_that_is_parsed(llm: FakeLLM, known: Memory) -> None:
    class Place(BaseModel):
        city: str

    message = {"role": "assistant", "content": '{"city": "Porto"}'}
    head = {"id": "x", "object": "chat.completion", "created": 12, "model": "tiny"}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    llm.scripted = Scripted(200, json.dumps({**head, "choices": choices}).encode())
    wrapped = wrap(client("completions", llm), memory=known, user_id="ana")
    reply = wrapped.chat.completions.parse(**request("completions"), response_format=Place)
    assert reply.choices[0].message.parsed == Place(city="Porto")
    assert said(known) == [TURN[0], ("message", '{"city": "Porto"}')]
    assert wrapped.agentmem_session.error is None


def test_loops_of_anthropics_sdk(llm: FakeLLM, known: Memory) -> None:
    """They send their requests by themselves, which went out without memories."""
    llm.queue.extend([calling(), answering(), streamed_answer()])
    wrapped = wrap(client("messages", llm), memory=known, user_id="ana", session_id="s")
    beta = wrapped.beta.messages
    runner = beta.tool_runner(**request("messages"), tools=[beta_tool(find)])
    assert runner.until_done().content[0].text == "In Porto."
    assert KNOWN in llm.seen[0].body["messages"][0]["content"]
    assert said(known) == [*TURN, ("tool_result", "In Porto."), ("message", "In Porto.")]
    thread = beta.thread(model="tiny", max_tokens=99)
    with thread.stream(*request("messages")["messages"]) as stream:
        assert "".join(stream.text_stream) == "In Porto."
    assert KNOWN in sent(llm)[0]["content"]
    assert wrapped.agentmem_session.error is None


def test_loops_of_anthropics_sdk_for_asyncio(llm: FakeLLM, known: Memory) -> None:
    llm.queue.extend([calling(), answering(), streamed_answer()])
    wrapped = wrap(async_client("messages", llm), memory=known, user_id="ana", session_id="s")

    async def ask() -> None:
        async def locate(name: str) -> str:
            """Find somebody."""
            return find(name)

        beta = wrapped.beta.messages
        tools = [beta_async_tool(locate, name="find")]
        runner = beta.tool_runner(**request("messages"), tools=tools)
        assert (await runner.until_done()).content[0].text == "In Porto."
        thread = beta.thread(model="tiny", max_tokens=99)
        async with thread.stream(*request("messages")["messages"]) as stream:
            assert "".join([text async for text in stream.text_stream]) == "In Porto."

    asyncio.run(ask())
    assert KNOWN in llm.seen[0].body["messages"][0]["content"]
    assert KNOWN in sent(llm)[0]["content"]
    assert said(known)[:5] == [*TURN, ("tool_result", "In Porto."), ("message", "In Porto.")]
    assert wrapped.agentmem_session.error is None


def find(name: str) -> str:
    """Find somebody."""
    return "In Porto."


def calling() -> Scripted:
    """A reply that calls the tool."""
    reply = json.loads(whole("messages").body) | {"stop_reason": "tool_use"}
    return Scripted(200, json.dumps(reply).encode())


def answering() -> Scripted:
    """A reply that only says something."""
    reply = json.loads(whole("messages").body)
    return Scripted(200, json.dumps(reply | {"content": reply["content"][:1]}).encode())


def streamed_answer() -> Scripted:
    """The same as a stream."""
    told = [one for one in events("messages") if one.get("index") != 1]
    lines = [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in told]
    return Scripted(200, "".join(lines).encode(), {"Content-Type": "text/event-stream"})


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("api", APIS)
def test_asyncio(
    api: str, llm: FakeLLM, place: Path, model: ModelBundle, asynchronous: bool
) -> None:
    async def talk(memory: Any) -> None:
        wrapped = wrap(async_client(api, llm), memory=memory, user_id="ana", session_id="s")
        async with wrapped:
            llm.scripted = whole(api)
            await resource(api, wrapped).create(**request(api))
            assert KNOWN in sent(llm)[0]["content"]
            llm.scripted = streamed(api)
            await until_porto(await resource(api, wrapped).create(**request(api, "b"), stream=True))
            async with resource(api, wrapped).stream(**request(api, "c")) as stream:
                await stream.until_done()
            assert wrapped.agentmem_session.error is None

    async def until_porto(stream: AsyncIterator[Any]) -> None:
        text = ""
        async with stream as events:  # type: ignore[attr-defined]
            async for event in events:
                text += event.to_json()
                if "Porto" in text:
                    return

    async def main() -> None:
        if asynchronous:
            async with AsyncMemory(place, model=model) as memory:
                await memory.add(KNOWN, user_id="ana")
                await talk(memory)
        else:
            with Memory(place, model=model) as memory:
                memory.add(KNOWN, user_id="ana")
                await talk(memory)

    asyncio.run(main())
    with Memory(place, model=model) as memory:
        left = [("message", "b"), ("message", "In Porto")]
        assert said(memory) == [*TURN, *left, ("message", "c"), *TURN[1:]]


def test_a_caller_who_is_cancelled_in_mid_stream(
    llm: FakeLLM, place: Path, model: ModelBundle
) -> None:
    llm.scripted = streamed("messages")

    async def main() -> None:
        async with AsyncMemory(place, model=model) as memory:
            await memory.add(KNOWN, user_id="ana")
            wrapped = wrap(async_client("messages", llm), memory=memory, user_id="ana")

            async def serve() -> None:
                text = ""
                async for event in await wrapped.messages.create(
                    **request("messages"), stream=True
                ):
                    text += event.to_json()
                    if "Porto" in text:
                        asyncio.current_task().cancel()  # type: ignore[union-attr]
                        await asyncio.sleep(0)

            with pytest.raises(asyncio.CancelledError):
                await asyncio.create_task(serve())
            gc.collect()
            await asyncio.sleep(0)  # its generator is closed by a task of the loop
            while asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.sleep(0.01)

    asyncio.run(main())
    with Memory(place, model=model) as memory:
        assert said(memory) == [TURN[0], ("message", "In Porto")]


def test_a_memory_that_fails_costs_no_reply(
    llm: FakeLLM, known: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    llm.scripted = whole("completions")
    wrapped = wrap(client("completions", llm), memory=known, user_id="ana")
    known.close()
    with caplog.at_level(logging.CRITICAL, "agentmem"):
        reply = wrapped.chat.completions.create(**request("completions"))
    assert reply.choices[0].message.content == "In Porto."
    assert sent(llm) == [{"role": "user", "content": ASKED}]
    assert isinstance(wrapped.agentmem_session.error, StoreError)


@pytest.mark.parametrize(
    "reply", [7, SimpleNamespace(choices=[]), object()], ids=["number", "namespace", "object"]
)
def test_a_reply_of_an_odd_kind_reaches_the_caller(known: Memory, reply: Any) -> None:
    """Clients that wrap others return objects of their own."""
    completions = SimpleNamespace(create=lambda **request: reply)
    wrapped = wrap(
        SimpleNamespace(chat=SimpleNamespace(completions=completions)), memory=known, user_id="ana"
    )
    assert wrapped.chat.completions.create(**request("completions")) is reply
    assert isinstance(wrapped.agentmem_session.error, InputError)
    assert [chunk.text for chunk in known.list()] == [KNOWN, ASKED]

    async def create(**request: Any) -> Any:
        return reply

    async def ask() -> Any:
        client = SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=create)))
        wrapped = wrap(client, memory=known, user_id="ana")
        return await wrapped.chat.completions.create(**request("completions"))

    assert asyncio.run(ask()) is reply


def test_errors_of_the_service_are_its_own(llm: FakeLLM, known: Memory) -> None:
    llm.scripted = Scripted(500, b"{}")
    wrapped = wrap(client("completions", llm), memory=known, user_id="ana")
    with pytest.raises(APIStatusError):
        wrapped.chat.completions.create(**request("completions"))
    assert said(known) == []


def test_the_rest_of_the_client_is_its_own(llm: FakeLLM, known: Memory) -> None:
    mine = client("completions", llm)
    wrapped = wrap(mine, memory=known, user_id="ana")
    assert isinstance(wrapped, OpenAI)
    assert repr(wrapped) == repr(mine)
    assert [one.id for one in wrapped.models.list()] == ["tiny"]
    llm.scripted = whole("completions")
    wrapped.with_options(timeout=5).chat.completions.create(**request("completions"))
    assert len(said(known)) == 3  # a copy remembers, too
    mine.chat.completions.create(**request("completions"))
    assert len(said(known)) == 3
    llm.scripted = whole("responses")
    wrapped.responses.create(model="tiny", prompt={"id": "p"})
    assert len(said(known)) == 3  # the same reply, and nothing that was asked
    wrapped.beta.responses.create(**request("responses"))
    assert KNOWN in sent(llm)[0]["content"]


@pytest.mark.parametrize("given", [{}, {"input": None}], ids=str)
def test_the_reply_to_a_prompt_that_is_kept_elsewhere(
    llm: FakeLLM, known: Memory, given: dict[str, Any]
) -> None:
    llm.scripted = whole("responses")
    wrapped = wrap(client("completions", llm), memory=known, user_id="ana")
    wrapped.responses.create(model="tiny", prompt={"id": "p"}, **given)
    assert wrapped.agentmem_session.error is None
    assert ("message", "In Porto.") in said(known)


def test_attributes_of_the_client_are_set_there(llm: FakeLLM, known: Memory) -> None:
    """A key that was set on the wrapped client stayed there, and requests went out without it."""
    mine = client("completions", llm)
    wrapped = copy.copy(wrap(mine, memory=known, user_id="ana"))
    wrapped.api_key, wrapped.max_retries = "another", 5
    assert (mine.api_key, mine.max_retries) == ("another", 5)
    with pytest.raises(AttributeError):
        wrapped.agentmem_session = None


def test_wrong_arguments(llm: FakeLLM, known: Memory) -> None:
    openai = client("completions", llm)
    with pytest.raises(InputError, match="Anthropic"):
        wrap(object(), memory=known)
    with pytest.raises(InputError, match="k="):
        wrap(openai, memory=known, k=0)
    with pytest.raises(InputError, match="user_id"):
        wrap(openai, memory=known, user_id="")
    with pytest.raises(InputError, match="async"):
        wrap(openai, memory=AsyncMemory("nowhere"))
