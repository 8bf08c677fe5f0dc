"""The capability of Pydantic AI, in agents that ask a local server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from pydantic import BaseModel

from agentmem.errors import InputError
from agentmem.ingest.normalize import normalize
from agentmem.memory import Memory
from agentmem.testing import tiny_model
from tests.support.llm import OPENAI_KEY, FakeLLM, Scripted, completion, fake_llm

ai = pytest.importorskip("pydantic_ai")

from pydantic_ai import messages  # noqa: E402
from pydantic_ai.models.openai import OpenAIChatModel  # noqa: E402
from pydantic_ai.providers.openai import OpenAIProvider  # noqa: E402

from agentmem.integrations.pydantic_ai import AgentMemCapability  # noqa: E402

R = TypeVar("R")
FACT = "My sister Marta lives in Porto."
ASKED = "Where does my sister Marta live?"


@pytest.fixture
def memory() -> Iterator[Memory]:
    with Memory(":memory:", model=tiny_model()) as opened:
        yield opened


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLLM]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with fake_llm() as server:
        server.scripted = completion({"content": "In Porto."})
        yield server


def agent(llm: FakeLLM, *capabilities: Any, **more: Any) -> Any:
    provider = OpenAIProvider(base_url=f"{llm.url}/v1", api_key=OPENAI_KEY)
    model = OpenAIChatModel("tiny", provider=provider)
    return ai.Agent(model, capabilities=capabilities, **more)


def run(work: Coroutine[Any, Any, R]) -> R:
    return asyncio.run(work)


def sent(llm: FakeLLM) -> list[tuple[str, Any]]:
    return [(one["role"], one["content"]) for one in llm.seen[-1].body["messages"]]


def stored(memory: Memory, **scope: str) -> list[tuple[str | None, str]]:
    return [(one.role, one.text) for one in memory.list(**scope)]


def test_an_agent_remembers_in_another_conversation(memory: Memory, llm: FakeLLM) -> None:
    memory.add("Bo's sister Marta lives in Rome.", user_id="bo")
    helper = agent(
        llm,
        lambda ctx: AgentMemCapability(memory.scoped(user_id=ctx.deps)),
        deps_type=str,
        instructions="Be brief.",
    )
    run(helper.run(FACT, deps="ana", conversation_id="monday"))
    result = run(helper.run(ASKED, deps="ana", conversation_id="tuesday"))
    assert result.output == "In Porto."
    roles, contents = zip(*sent(llm), strict=True)
    assert roles == ("system", "user", "user")
    assert FACT in contents[1]
    assert contents[1].startswith("<memories-")
    assert "Rome" not in contents[1]
    assert contents[2] == ASKED
    # What was recalled is neither in the history nor stored again, and nor are instructions.
    assert "<memories-" not in str(result.all_messages())
    said = [("user", ASKED), ("assistant", "In Porto.")]
    assert stored(memory, user_id="ana", session_id="tuesday") == said
    assert stored(memory, user_id="ana", session_id="monday") == [
        ("user", FACT),
        ("assistant", "In Porto."),
    ]


def test_a_conversation_that_goes_on_is_stored_once(memory: Memory, llm: FakeLLM) -> None:
    helper = agent(llm, AgentMemCapability(memory))
    first = run(helper.run(FACT))
    second = run(helper.run(ASKED, message_history=first.all_messages()))
    run(helper.run("Thank you.", message_history=second.all_messages()))
    assert [text for _, text in stored(memory)] == [
        *(FACT, "In Porto."),
        *(ASKED, "In Porto."),
        *("Thank you.", "In Porto."),
    ]
    # The history shows it, so it is not recalled.
    assert "<memories-" not in str(sent(llm))


def test_tools_and_streams(memory: Memory, llm: FakeLLM) -> None:
    memory.add(FACT)
    helper = agent(llm, AgentMemCapability(memory))

    @helper.tool_plain  # type: ignore[untyped-decorator]
    def weather(city: str) -> dict[str, str]:
        """The weather of a city."""
        return {"now": f"Rain in {city}"}

    function = {"name": "weather", "arguments": '{"city":"Porto"}'}
    call = {"id": "c1", "type": "function", "function": function}
    llm.queue.append(completion({"tool_calls": [call]}))
    question = f"{ASKED} And the weather there?"
    run(helper.run(question, conversation_id="monday"))
    assert [role for role, _ in sent(llm)] == ["user", "user", "assistant", "tool"]
    assert FACT in sent(llm)[0][1]
    assert stored(memory, session_id="monday") == [
        ("user", question),
        ("assistant", 'weather({"city":"Porto"})'),
        ("tool", '{"now":"Rain in Porto"}'),
        ("assistant", "In Porto."),
    ]

    chunk = '{"id":"x","object":"chat.completion.chunk","created":1,"model":"tiny","choices":[%s]}'
    deltas = [
        '{"index":0,"delta":{"role":"assistant","content":"In "},"finish_reason":null}',
        '{"index":0,"delta":{"content":"Porto!"},"finish_reason":"stop"}',
    ]
    body = "".join(f"data: {chunk % one}\n\n" for one in deltas) + "data: [DONE]\n\n"
    llm.queue.append(Scripted(200, body.encode(), {"Content-Type": "text/event-stream"}))

    async def stream() -> str:
        async with helper.run_stream(ASKED, conversation_id="friday") as result:
            return str(await result.get_output())

    assert run(stream()) == "In Porto!"
    assert FACT in str(sent(llm))
    assert stored(memory, session_id="friday") == [("user", ASKED), ("assistant", "In Porto!")]


def test_an_answer_with_a_structure(memory: Memory, llm: FakeLLM) -> None:
    """That it was taken was stored, too, each time: "Final result processed."."""
    function = {"name": "final_result", "arguments": '{"city":"Porto"}'}
    call = {"id": "c1", "type": "function", "function": function}
    llm.queue.append(completion({"tool_calls": [call]}))
    helper = agent(llm, AgentMemCapability(memory), output_type=Place)
    assert run(helper.run(ASKED)).output == Place(city="Porto")
    assert stored(memory) == [("user", ASKED), ("assistant", 'final_result({"city":"Porto"})')]


class Place(BaseModel):
    """Where somebody lives."""

    city: str


def test_a_prompt_with_a_picture(memory: Memory, llm: FakeLLM) -> None:
    helper = agent(llm, AgentMemCapability(memory))
    picture = ai.ImageUrl(url="https://example.com/cat.png")
    run(helper.run(["This is my cat Momo.", picture, "She is black."]))
    assert stored(memory)[:2] == [("user", "This is my cat Momo."), ("user", "She is black.")]
    run(helper.run([picture]))
    assert stored(memory)[2:] == [("assistant", "In Porto.")] * 2


def test_what_was_said_before_a_failure_is_kept(memory: Memory, llm: FakeLLM) -> None:
    helper = agent(llm, AgentMemCapability(memory))
    llm.scripted = Scripted(400, b'{"error": {"message": "no", "type": "x"}}')
    with pytest.raises(ai.ModelHTTPError):
        run(helper.run(FACT))
    assert stored(memory) == [("user", FACT)]


def test_a_memory_that_fails_costs_no_reply(llm: FakeLLM) -> None:
    memory = Memory(":memory:", model=tiny_model())
    capability = AgentMemCapability(memory)
    helper = agent(llm, capability)
    assert run(helper.run(FACT)).output == "In Porto."
    assert capability.error is None
    memory.close()
    assert run(helper.run(ASKED)).output == "In Porto."
    assert "closed" in str(capability.error)
    assert sent(llm) == [("user", ASKED)]


def test_wrong_arguments(memory: Memory, llm: FakeLLM) -> None:
    with pytest.raises(InputError, match="k=0"):
        AgentMemCapability(memory, k=0)
    helper = agent(llm, AgentMemCapability(memory.scoped(session_id="monday")))
    with pytest.raises(InputError, match="bound to session_id='monday'"):
        run(helper.run(FACT, conversation_id="tuesday"))
    assert memory.count() == 0


def test_a_run_that_is_cancelled(memory: Memory, llm: FakeLLM) -> None:
    helper = agent(llm, AgentMemCapability(memory))
    llm.silent = True

    async def cancelled() -> None:
        going = asyncio.ensure_future(helper.run(FACT))
        while not llm.seen:
            await asyncio.sleep(0.01)
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going

    run(cancelled())
    assert stored(memory) == [("user", FACT)]


def test_a_history_as_json_is_read() -> None:
    link = messages.ImageUrl("https://example.com/a.png")
    said: list[Any] = [
        messages.ModelRequest(
            parts=[messages.SystemPromptPart("Be brief."), messages.UserPromptPart(["When?", link])]
        ),
        messages.ModelResponse(
            parts=[
                messages.TextPart("Let me look."),
                messages.ToolCallPart("look", {"day": 5}, "c1"),
            ]
        ),
        messages.ModelRequest(
            parts=[messages.ToolReturnPart("look", {"at": "9:40"}, "c1", outcome="failed")]
        ),
        messages.ModelResponse(parts=[messages.TextPart("At 9:40.")]),
    ]
    read = normalize(json.loads(messages.ModelMessagesTypeAdapter.dump_json(said)))
    assert [(part.role, part.text) for part in read.parts] == [
        ("system", "Be brief."),
        ("user", "When?"),
        ("assistant", "Let me look."),
        ("assistant", 'look({"day": 5})'),
        ("tool", '{"at": "9:40"}'),
        ("assistant", "At 9:40."),
    ]
    assert read.parts[4].metadata == {"tool": "look", "tool_call_id": "c1", "is_error": True}
    assert read.skipped == {"image-url": 1}
