"""The memory block, alone and in LlamaIndex's own memory."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from agentmem.memory import Memory
from tests.support.shipped import shipped_model

llms = pytest.importorskip("llama_index.core.llms")

from llama_index.core.chat_engine import SimpleChatEngine  # noqa: E402
from llama_index.core.llms import MockLLM  # noqa: E402
from llama_index.core.memory import Memory as ChatMemory  # noqa: E402
from sqlalchemy.ext.asyncio import create_async_engine  # noqa: E402

from agentmem.integrations.llama_index import AgentMemBlock  # noqa: E402

R = TypeVar("R")


@pytest.fixture
def memory() -> Iterator[Memory]:
    with Memory(":memory:", model=shipped_model()) as opened:
        yield opened


def run(work: Coroutine[Any, Any, R]) -> R:
    return asyncio.run(work)


def said(text: str, role: str = "user") -> Any:
    return llms.ChatMessage(role=role, content=text)


def test_what_is_put_is_recalled_from_other_sessions(memory: Memory) -> None:
    block = AgentMemBlock(memory=memory.scoped(user_id="ana"), k=1)
    memory.add("Bo's boiler code is 1111.", user_id="bo")
    messages = [said("The boiler code is 7714."), said("Noted.", "assistant")]
    run(block.aput(messages, session_id="monday"))
    assert [(one.role, one.text, one.scope.session_id) for one in memory.list(user_id="ana")] == [
        ("user", "The boiler code is 7714.", "monday"),
        ("assistant", "Noted.", "monday"),
    ]
    assert messages[0].additional_kwargs == {}
    found = run(block.aget([said("boiler code"), said("Yes?", "assistant")], session_id="tuesday"))
    assert "The boiler code is 7714." in found
    assert "1111" not in found


@pytest.mark.parametrize("messages", [None, [], [said(" ")], [said("boiler", "assistant")]])
def test_without_a_question_nothing_is_recalled(memory: Memory, messages: Any) -> None:
    memory.add("The boiler code is 7714.")
    assert run(AgentMemBlock(memory=memory).aget(messages)) == ""


def test_what_is_left_out(memory: Memory) -> None:
    block = AgentMemBlock(memory=memory, accept_short_term_memory=False)
    run(block.aput([said("x")], from_short_term_memory=True))
    run(block.aput([]))
    run(block.aput([said(" ")]))
    assert memory.stats().memories == 0
    run(block.aput([said("x")]))
    assert memory.stats().memories == 1


def test_the_prompt_has_at_most_so_many_tokens(memory: Memory) -> None:
    for n in range(20):
        memory.add(f"The boiler number {n} has the code {n * 77}.")
    long, short = (
        run(AgentMemBlock(memory=memory, max_tokens=most).aget([said("boiler code")]))
        for most in (600, 120)
    )
    assert 0 < len(short) < len(long)


def test_messages_that_leave_the_history_come_back_when_they_fit(memory: Memory) -> None:
    async def chat() -> list[Any]:
        engine = create_async_engine("sqlite+aiosqlite:///:memory:")
        chats = ChatMemory.from_defaults(
            session_id="monday",
            token_limit=60,
            token_flush_size=10,
            chat_history_token_ratio=0.5,
            tokenizer_fn=str.split,
            memory_blocks=[AgentMemBlock(memory=memory, k=1)],
            async_engine=engine,
        )
        await chats.aput(said("The boiler code is 7714."))
        for n in range(10):
            await chats.aput(said(f"Some small talk about the weather, number {n}.", "assistant"))
        await chats.aput(said("boiler code?"))
        history = list(await chats.aget())
        await engine.dispose()
        return history

    history = run(chat())
    assert "The boiler code is 7714." not in [one.content for one in history]
    assert "The boiler code is 7714." in str(history[0].content)
    assert [one.text for one in memory.list(session_id="monday")][0] == "The boiler code is 7714."


def test_a_chat_engine_of_another_session(memory: Memory) -> None:
    """The model, which repeats its prompt, is shown what was said in an earlier session."""

    async def turn(session_id: str, text: str) -> str:
        engine = create_async_engine("sqlite+aiosqlite:///:memory:")
        chats = ChatMemory.from_defaults(
            session_id=session_id,
            tokenizer_fn=str.split,
            memory_blocks=[AgentMemBlock(memory=memory.scoped(user_id="ana"), k=1)],
            async_engine=engine,
        )
        await AgentMemBlock(memory=memory.scoped(user_id="ana")).aput(
            [said(text)], False, session_id
        )
        chat = SimpleChatEngine.from_defaults(llm=MockLLM(), memory=chats)
        reply = await chat.achat(text)
        await engine.dispose()
        return str(reply)

    run(turn("monday", "The boiler code is 7714."))
    assert "The boiler code is 7714." in run(turn("tuesday", "What is the boiler code?"))
