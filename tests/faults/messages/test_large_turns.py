"""A reply waited until all that was said before it was stored: with a large tool result, long."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from openai import OpenAI

from agentmem import AsyncMemory, Memory, wrap
from agentmem.chat import session as sessions
from agentmem.errors import StoreBusyError
from agentmem.models.bundle.load import ModelBundle
from agentmem.remote import RemoteMemory
from tests.support.llm import (
    ANTHROPIC_KEY,
    OPENAI_KEY,
    FakeLLM,
    completion,
    fake_llm,
    message_stream,
)
from tests.support.service import running

LARGE = "".join(f"Row {n} has the number {n * n}.\n" for n in range(20))
CALL = {"id": "c", "type": "function", "function": {"name": "rows", "arguments": "{}"}}
TURN: list[dict[str, Any]] = [
    {"role": "user", "content": "Read the table."},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c", "content": LARGE},
]
SAID = "I have read it."


@pytest.fixture(autouse=True)
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "AT_ONCE", 200)


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLLM]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with fake_llm() as server:
        yield server


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Another program writes to the store, so that nobody else can."""
    with closing(sqlite3.connect(place / "memory.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def stored(memory: Memory) -> str:
    return "".join(chunk.text for chunk in memory.list(session_id="s"))


ALL = f"Read the table.rows({{}}){LARGE}{SAID}"


def test_a_reply_does_not_wait_for_a_large_turn(llm: FakeLLM, memory: Memory, place: Path) -> None:
    memory.add("tea")
    llm.scripted = completion({"content": SAID})
    client = wrap(
        OpenAI(base_url=f"{llm.url}/v1", api_key=OPENAI_KEY, max_retries=0),
        memory=memory,
        session_id="s",
    )
    with writing(place):
        reply = client.chat.completions.create(model="tiny", messages=TURN)  # type: ignore[arg-type]
        assert reply.choices[0].message.content == SAID
        assert stored(memory) == ""
    session = client.agentmem_session  # type: ignore[attr-defined]
    session.flush()
    assert (stored(memory), session.error) == (ALL, None)


def test_nor_does_one_with_asyncio(llm: FakeLLM, place: Path, model: ModelBundle) -> None:
    llm.scripted = message_stream(SAID)

    async def ask() -> None:
        async with AsyncMemory(place, model=model) as memory:
            await memory.add("tea")
            client = wrap(
                AsyncAnthropic(base_url=llm.url, api_key=ANTHROPIC_KEY, max_retries=0),
                memory=memory,
                session_id="s",
            )
            with writing(place):
                stream = await client.messages.create(
                    model="tiny",
                    max_tokens=9,
                    messages=[{"role": "user", "content": LARGE}],
                    stream=True,
                )
                assert [event.type async for event in stream][-1] == "message_stop"
                assert [one async for one in memory.list(session_id="s")] == []

    asyncio.run(ask())  # closing waits
    with Memory(place, model=model) as memory:
        assert stored(memory) == f"{LARGE}{SAID}"


def test_what_is_of_a_usual_size_is_stored_at_once(memory: Memory) -> None:
    memory.session(session_id="s").observe_later(TURN[:2], SAID)
    assert stored(memory) == f"Read the table.rows({{}}){SAID}"


def test_turns_stay_in_order(memory: Memory, place: Path) -> None:
    memory.add("tea")
    session = memory.session(session_id="s")
    with writing(place):
        session.observe_later(TURN, SAID)
        session.observe_later([{"role": "user", "content": "And now?"}], "Nothing.")
    receipt = session.observe([{"role": "user", "content": "Well."}], "Yes.")
    assert receipt is not None
    assert stored(memory) == f"{ALL}And now?Nothing.Well.Yes."


@pytest.mark.parametrize("end", ["close", "block"])
def test_nothing_is_lost_at_the_end(end: str, place: Path, model: ModelBundle) -> None:
    memory = Memory(place, model=model)
    session = memory.session(session_id="s")
    if end == "block":
        with session:
            session.observe_later(TURN, SAID)
        assert stored(memory) == ALL
        memory.close()
    else:
        session.observe_later(TURN, SAID)
        memory.close()
    assert session.error is None
    with Memory(place, model=model) as again:
        assert stored(again) == ALL


def test_nor_if_the_program_ends_without_closing(place: Path, model: ModelBundle) -> None:
    script = (
        "import sys; from agentmem import Memory; from agentmem.testing import tiny_model\n"
        "from agentmem.chat import session; session.AT_ONCE = 200\n"
        "memory = Memory(sys.argv[1], model=tiny_model())\n"
        "messages = [{'role': 'user', 'content': sys.argv[2]}]\n"
        "memory.session(session_id='s').observe_later(messages, 'Yes.')\n"
    )
    subprocess.run([sys.executable, "-c", script, str(place), LARGE], check=True, timeout=300)
    with Memory(place, model=model) as memory:
        assert stored(memory) == f"{LARGE}Yes."


def test_a_failure_is_told(place: Path, model: ModelBundle) -> None:
    with Memory(place, model=model, timeout_s=0.1) as memory:
        memory.add("tea")
        session = memory.session(session_id="s")
        with writing(place):
            session.observe_later(TURN, SAID)
            session.flush()
        assert isinstance(session.error, StoreBusyError)
        session.observe_later([{"role": "user", "content": LARGE}])
        memory.close()
        with Memory(place, model=model) as again:
            assert stored(again) == LARGE


def test_messages_are_taken_as_they_are_now(memory: Memory, place: Path) -> None:
    memory.add("tea")
    messages = [{"role": "user", "content": LARGE}]
    session = memory.session(session_id="s")
    with writing(place):
        session.observe_later(messages)
        messages[0]["content"] = "other"
        messages.clear()
    session.flush()
    assert stored(memory) == LARGE


def test_a_service_gets_it_before_its_client_closes(memory: Memory) -> None:
    with running(memory) as url:
        with RemoteMemory(url) as remote:
            remote.session(session_id="s").observe_later(TURN, SAID)
        assert stored(memory) == ALL
