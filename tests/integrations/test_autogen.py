"""AutoGen's memory protocol, alone and in an agent that asks a local server."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from agentmem.errors import InputError
from agentmem.memory import Memory
from tests.support.llm import OPENAI_KEY, FakeLLM, completion, fake_llm
from tests.support.shipped import shipped_model

autogen_memory = pytest.importorskip("autogen_core.memory")

from autogen_agentchat.agents import AssistantAgent  # noqa: E402
from autogen_core.memory import MemoryContent, MemoryMimeType  # noqa: E402
from autogen_core.model_context import BufferedChatCompletionContext  # noqa: E402
from autogen_core.models import AssistantMessage, UserMessage  # noqa: E402
from autogen_ext.models.openai import OpenAIChatCompletionClient  # noqa: E402

from agentmem.integrations.autogen import AgentMemMemory  # noqa: E402

R = TypeVar("R")
FACT = "The weather should be in metric units."


@pytest.fixture
def memory() -> Iterator[Memory]:
    with Memory(":memory:", model=shipped_model()) as opened:
        yield opened


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLLM]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with fake_llm() as server:
        server.scripted = completion({"content": "It is 23 degrees."})
        yield server


def run(work: Coroutine[Any, Any, R]) -> R:
    return asyncio.run(work)


def text(content: Any, mime_type: Any = MemoryMimeType.TEXT, **metadata: Any) -> Any:
    return MemoryContent(content=content, mime_type=mime_type, metadata=metadata)


def test_what_is_added_is_found_in_its_scope(memory: Memory) -> None:
    ana = AgentMemMemory(memory.scoped(user_id="ana"), k=4)
    bo = AgentMemMemory(memory.scoped(user_id="bo"))
    assert isinstance(ana, autogen_memory.Memory)
    run(ana.add(text(FACT, category="preferences")))
    run(ana.add(text("Noted.", role="assistant", name="helper")))
    run(bo.add(text("The weather of Bo is in Fahrenheit.", "text/markdown")))
    assert [(one.role, one.name, one.text) for one in memory.list(user_id="ana")] == [
        ("user", None, FACT),
        ("assistant", "helper", "Noted."),
    ]
    first, *rest = run(ana.query("weather units")).results
    assert (first.content, first.mime_type) == (FACT, MemoryMimeType.TEXT)
    assert first.metadata["category"] == "preferences"
    assert first.metadata["agentmem"]["user_id"] == "ana"
    assert "Fahrenheit" not in str(rest)
    assert len(run(ana.query(text("weather units"), k=1)).results) == 1
    # What was found may be added again, and is the same.
    run(ana.add(first))
    assert memory.count(user_id="ana") == 2
    run(bo.add(first))
    assert memory.count(user_id="bo") == 2


@pytest.mark.parametrize(
    "wrong",
    [text(b"x", MemoryMimeType.BINARY), text({"a": 1}, MemoryMimeType.JSON), text(" ")],
)
def test_only_texts_are_stored(memory: Memory, wrong: Any) -> None:
    with pytest.raises(InputError):
        run(AgentMemMemory(memory).add(wrong))
    assert memory.count() == 0


def test_wrong_arguments(memory: Memory) -> None:
    with pytest.raises(InputError, match="max_tokens=0"):
        AgentMemMemory(memory, max_tokens=0)
    with pytest.raises(InputError, match="'score'"):
        run(AgentMemMemory(memory).query("weather", score=1))


def test_clearing_leaves_what_others_added(memory: Memory) -> None:
    ana = AgentMemMemory(memory.scoped(user_id="ana"))
    bo = AgentMemMemory(memory.scoped(user_id="bo"))
    run(ana.add(text(FACT)))
    run(bo.add(text(FACT)))
    memory.add("A note.", user_id="ana")
    run(ana.clear())
    run(ana.close())
    assert [one.text for one in memory.list()] == [FACT, "A note."]


def test_a_context_is_told_once(memory: Memory) -> None:
    memory.add(FACT)
    memory.add("Which units does the weather have?", metadata={"asked": True})
    memory.add("Rain is weather.")
    ours = AgentMemMemory(memory)

    async def chat() -> tuple[list[Any], Any, Any]:
        context = BufferedChatCompletionContext(buffer_size=10)
        none = await ours.update_context(context)
        assert none.memories.results == []
        await context.add_message(UserMessage(content="Rain is weather.", source="user"))
        await context.add_message(UserMessage(content="Weather units?", source="user"))
        first = await ours.update_context(context)
        await context.add_message(AssistantMessage(content="Metric.", source="helper"))
        second = await ours.update_context(context)
        return list(await context.get_messages()), first, second

    messages, first, second = run(chat())
    assert [one.content for one in first.memories.results] == [FACT]
    assert second.memories.results == []
    assert [one.source for one in messages] == ["user", "user", "memory", "helper"]
    assert messages[2].content.startswith("<memories-")
    assert isinstance(messages[2], UserMessage)


def test_the_flow_of_the_documentation(memory: Memory, llm: FakeLLM) -> None:
    ana = AgentMemMemory(memory.scoped(user_id="ana"))

    async def ask() -> str:
        await ana.add(text(FACT))
        info: Any = {
            **{"vision": False, "function_calling": True, "json_output": False},
            **{"family": "unknown", "structured_output": False},
        }
        client = OpenAIChatCompletionClient(
            model="tiny", base_url=f"{llm.url}/v1", api_key=OPENAI_KEY, model_info=info
        )
        agent = AssistantAgent("helper", model_client=client, memory=[ana])
        result = await agent.run(task="What is the weather in New York?")
        await client.close()
        return str(result.messages[-1].content)

    assert run(ask()) == "It is 23 degrees."
    assert FACT in str(llm.seen[-1].body["messages"])
    assert [one.text for one in memory.list()] == [FACT]
