"""Sessions of the OpenAI Agents SDK, used by its own runner."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from agentmem.errors import InputError
from agentmem.memory import Memory
from agentmem.testing import tiny_model

agents = pytest.importorskip("agents")

from agentmem.integrations.openai_agents import AgentMemSession  # noqa: E402

R = TypeVar("R")

ITEMS: list[dict[str, Any]] = [
    {"role": "user", "content": "What is the weather in Lyon?"},
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAA=="},
    {
        "type": "function_call",
        "call_id": "call_1",
        "name": "weather",
        "arguments": '{"city": "Lyon"}',
        "id": "fc_1",
        "status": "completed",
    },
    {"type": "function_call_output", "call_id": "call_1", "output": "Sunny, 24 degrees."},
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "It is sunny.", "annotations": []}],
    },
    {"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA"}]},
    {"role": "user", "content": ""},
    {"type": "unheard_of", "role": ["x"], "payload": {"deep": [1, None, "\u200b"]}},
]


@pytest.fixture
def memory() -> Iterator[Memory]:
    with Memory(":memory:", model=tiny_model()) as opened:
        yield opened


@pytest.fixture
def session(memory: Memory) -> AgentMemSession:
    return AgentMemSession("s", memory)


def run(work: Coroutine[Any, Any, R]) -> R:
    return asyncio.run(work)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_it_is_a_session(session: AgentMemSession) -> None:
    assert isinstance(session, agents.Session)
    assert session.session_id == "s"
    assert run(session.get_items()) == []
    assert run(session.pop_item()) is None
    run(session.clear_session())
    run(session.add_items([]))
    assert run(session.get_items()) == []


def test_items_come_back_verbatim_and_in_order(session: AgentMemSession, memory: Memory) -> None:
    run(session.add_items(ITEMS[:3]))
    run(session.add_items(ITEMS[3:]))
    assert run(session.get_items()) == ITEMS
    assert run(session.get_items(limit=2)) == ITEMS[-2:]
    assert run(session.get_items(limit=99)) == ITEMS
    assert run(session.get_items(limit=0)) == []
    with pytest.raises(InputError, match="-1"):
        run(session.get_items(limit=-1))
    said = [(one.role, one.text) for one in memory.list()]
    assert said[0] == ("user", "What is the weather in Lyon?")
    assert said[1] == ("assistant", "[reasoning]")
    assert ["asked" in one.metadata for one in memory.list()] == [True, *[False] * (len(said) - 1)]
    assert said[3:5] == [("tool", "Sunny, 24 degrees."), ("assistant", "It is sunny.")]
    assert said[5:] == [
        ("user", "[message]"),
        ("user", "[message]"),
        ("assistant", "[unheard_of]"),
    ]


def test_equal_and_long_items_are_kept_each(session: AgentMemSession) -> None:
    long = " ".join(f"The train number {n} leaves at noon." for n in range(60))
    items = [user("ok"), user("ok"), user(long), user("ok"), user(long)]
    for _ in range(2):
        run(session.add_items(items))
    assert run(session.get_items()) == items * 2
    assert run(session.get_items(limit=3)) == items[-3:]
    assert run(session.pop_item()) == user(long)
    assert len(run(session.get_items())) == 9


def test_a_popped_item_may_be_added_again(session: AgentMemSession, memory: Memory) -> None:
    run(session.add_items(ITEMS))
    for _ in range(2):
        assert run(session.pop_item()) == ITEMS[-1]
        assert run(session.get_items()) == ITEMS[:-1]
        run(session.add_items(ITEMS[-1:]))
    assert run(session.get_items()) == ITEMS
    for item in reversed(ITEMS):
        assert run(session.pop_item()) == item
    assert list(memory.list()) == []


def test_clearing_a_session_leaves_the_rest(memory: Memory) -> None:
    ana, bo = (AgentMemSession("s", memory.scoped(user_id=user)) for user in ("ana", "bo"))
    other = AgentMemSession("t", memory.scoped(user_id="ana"))
    for one in (ana, bo, other):
        run(one.add_items([user(f"for {one.session_id}")]))
    memory.add("A note of that session.", user_id="ana", session_id="s")
    run(ana.clear_session())
    assert [len(run(one.get_items())) for one in (ana, bo, other)] == [0, 1, 1]
    assert [one.text for one in memory.list(user_id="ana", session_id="s")] == [
        "A note of that session."
    ]


def test_settings_limit_what_is_read(memory: Memory) -> None:
    settings = agents.SessionSettings(limit=1)
    session = AgentMemSession("s", memory, session_settings=settings)
    run(session.add_items(ITEMS))
    assert run(session.get_items()) == ITEMS[-1:]
    assert run(session.get_items(limit=2)) == ITEMS[-2:]


def test_what_is_said_is_recalled_from_other_sessions(memory: Memory) -> None:
    run(AgentMemSession("monday", memory).add_items([user("The boiler code is 7714.")]))
    hit = memory.recall("boiler code")[0]
    assert (hit.text, hit.scope.session_id) == ("The boiler code is 7714.", "monday")


@pytest.mark.parametrize("wrong", ["text", {"n": {1}}, {"n": float("nan")}, {"content": "\ud800"}])
def test_an_item_that_cannot_be_stored(session: AgentMemSession, wrong: Any) -> None:
    with pytest.raises(InputError, match="item 1"):
        run(session.add_items([user("x"), wrong]))
    assert run(session.get_items()) == []


def test_an_id_that_cannot_be_one(memory: Memory) -> None:
    with pytest.raises(InputError, match="session_id"):
        AgentMemSession(" ", memory)


def test_threads_keep_the_items_of_a_call_together(memory: Memory) -> None:
    def add(n: int) -> None:
        run(AgentMemSession("s", memory).add_items([user(f"{n} a"), user(f"{n} b")]))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(10)))
    texts = [item["content"] for item in run(AgentMemSession("s", memory).get_items())]
    assert len(texts) == 20
    assert all(texts[n].split()[0] == texts[n + 1].split()[0] for n in range(0, 20, 2))


class Parrot(agents.Model):  # type: ignore[misc]
    """A model that says what it has been told so far."""

    async def get_response(self, *args: Any, **kwargs: Any) -> Any:
        given = kwargs["input"] if "input" in kwargs else args[1]
        told = [item["content"] for item in given if item.get("role") == "user"]
        from openai.types.responses import ResponseOutputMessage, ResponseOutputText

        text = ResponseOutputText(type="output_text", text=" | ".join(told), annotations=[])
        message = ResponseOutputMessage(
            id="msg", type="message", role="assistant", status="completed", content=[text]
        )
        return agents.ModelResponse(output=[message], usage=agents.Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


def test_the_runner_keeps_a_conversation(memory: Memory) -> None:
    agent = agents.Agent(name="parrot", model=Parrot())
    config = agents.RunConfig(tracing_disabled=True)

    async def turn(text: str) -> str:
        session = AgentMemSession("s", memory)
        result = await agents.Runner.run(agent, text, session=session, run_config=config)
        return str(result.final_output)

    assert run(turn("I am Ana.")) == "I am Ana."
    assert run(turn("Who am I?")) == "I am Ana. | Who am I?"
    assert len(run(AgentMemSession("s", memory).get_items())) == 4
