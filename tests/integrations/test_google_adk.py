"""The memory service of Google ADK, alone and in ADK's own runner, which asks a local server."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from agentmem.errors import InputError, UnknownIdError
from agentmem.memory import Memory
from agentmem.testing import tiny_model
from tests.support.llm import GOOGLE_KEY, FakeLLM, fake_llm, generated

events = pytest.importorskip("google.adk.events.event")

from google.adk.agents import LlmAgent  # noqa: E402
from google.adk.memory import BaseMemoryService  # noqa: E402
from google.adk.memory.memory_entry import MemoryEntry  # noqa: E402
from google.adk.runners import Runner  # noqa: E402
from google.adk.sessions import InMemorySessionService, Session  # noqa: E402
from google.adk.tools import load_memory, preload_memory  # noqa: E402
from google.genai import types  # noqa: E402

from agentmem.integrations.google_adk import AgentMemMemoryService  # noqa: E402

R = TypeVar("R")
ANA: dict[str, Any] = {"app_name": "trips", "user_id": "ana"}
FACT = "My favorite project is Project Alpha."


@pytest.fixture
def memory() -> Iterator[Memory]:
    with Memory(":memory:", model=tiny_model()) as opened:
        yield opened


@pytest.fixture
def service(memory: Memory) -> AgentMemMemoryService:
    return AgentMemMemoryService(memory)


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLLM]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with fake_llm() as server:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
        monkeypatch.setenv("GOOGLE_API_KEY", GOOGLE_KEY)
        yield server


def run(work: Coroutine[Any, Any, R]) -> R:
    return asyncio.run(work)


def event(id: str, *parts: Any, author: str = "user", at: float = 1780000000.0) -> Any:
    made = [types.Part(text=part) if isinstance(part, str) else part for part in parts]
    content = types.Content(role="user" if author == "user" else "model", parts=made)
    return events.Event(id=id, author=author, content=content, timestamp=at)


def session(*said: Any, id: str = "monday", user: str = "ana") -> Any:
    return Session(id=id, app_name="trips", user_id=user, events=list(said))


def found(service: AgentMemMemoryService, query: str, **scope: str) -> list[Any]:
    return list(run(service.search_memory(**{**ANA, **scope}, query=query)).memories)


def texts(entries: list[Any]) -> list[str]:
    return [entry.content.parts[0].text for entry in entries]


def test_it_is_a_memory_service(service: AgentMemMemoryService) -> None:
    assert isinstance(service, BaseMemoryService)
    assert found(service, "project") == []
    assert found(service, " ") == []
    run(service.add_session_to_memory(session()))


def test_a_session_is_stored_once_and_found_by_its_user(
    service: AgentMemMemoryService, memory: Memory
) -> None:
    said = [event("e1", FACT), event("e2", "Noted.", author="helper", at=1780000001.5)]
    for _ in range(2):
        run(service.add_session_to_memory(session(*said)))
    run(service.add_session_to_memory(session(*said, event("e3", "I live in Lyon."))))
    run(service.add_session_to_memory(session(event("b1", "Bo's project is Beta."), user="bo")))
    stored = [(one.role, one.name, one.text) for one in memory.list(user_id="ana")]
    assert stored == [
        ("user", None, FACT),
        ("assistant", "helper", "Noted."),
        ("user", None, "I live in Lyon."),
    ]
    assert {one.scope.session_id for one in memory.list(agent_id="trips")} == {"monday"}
    entry = found(service, "favorite project")[0]
    assert (entry.id, entry.author, texts([entry])) == ("e1", "user", [FACT])
    assert entry.timestamp == "2026-05-28T20:26:40+00:00"
    assert entry.content.role == "user"
    assert "Bo" not in "".join(texts(found(service, "project")))
    assert texts(found(service, "project", user_id="bo")) == ["Bo's project is Beta."]
    assert found(service, "project", app_name="other") == []


def test_what_is_not_stored(service: AgentMemMemoryService, memory: Memory) -> None:
    run(service.add_session_to_memory(session(event("e1", FACT))))
    block = memory.recall("project").pack(max_tokens=200).to_text()
    entries = found(service, "project")
    call = types.FunctionCall(id="c1", name="load_memory", args={"query": "project"})
    own = types.FunctionCall(id="c2", name="look_up", args={"query": "project"})
    weather = types.FunctionCall(id="c3", name="weather", args={"city": "Lyon"})
    response = {"memories": [one.model_dump() for one in entries]}
    answers = [
        types.FunctionResponse(id="c1", name="load_memory", response={"result": []}),
        types.FunctionResponse(id="c2", name="look_up", response={"result": response}),
        types.FunctionResponse(id="c3", name="weather", response={"result": "Rain."}),
    ]
    picture = types.Part(inline_data=types.Blob(data=b"\x89PNG", mime_type="image/png"))
    partial = event("e7", "Half a sen", author="helper")
    partial.partial = True
    run(
        service.add_events_to_memory(
            **ANA,
            session_id="tuesday",
            events=[
                event("e2", *(types.Part(function_call=one) for one in (call, own, weather))),
                event("e3", *(types.Part(function_response=one) for one in answers)),
                event("e4", f"{block}\n\nIt rains here."),
                event("e5", picture),
                event("e6", types.Part(text="Hm.", thought=True), author="helper"),
                partial,
                events.Event(id="e8", author="helper"),
            ],
        )
    )
    stored = [(one.source.kind, one.text) for one in memory.list(session_id="tuesday")]
    assert stored == [
        ("tool_call", 'weather({"city": "Lyon"})'),
        ("tool_result", "Rain."),
        ("message", "It rains here."),
    ]


def test_questions_are_stored_and_not_found(service: AgentMemMemoryService, memory: Memory) -> None:
    asked = "What is my favorite project?"
    run(service.add_session_to_memory(session(event("e1", asked), event("e2", FACT))))
    assert memory.count() == 2
    assert texts(found(service, asked)) == [FACT]


def test_a_deleted_event_does_not_come_back(service: AgentMemMemoryService, memory: Memory) -> None:
    said = [event("e1", FACT), event("e2", "I live in Lyon.")]
    run(service.add_session_to_memory(session(*said)))
    with pytest.raises(UnknownIdError, match="e1"):
        run(service.delete_memory(app_name="trips", user_id="bo", memory_id="e1"))
    with pytest.raises(InputError, match="memory_id"):
        run(service.delete_memory(**ANA))
    run(service.delete_memory(**ANA, memory_id="e1"))
    run(service.add_session_to_memory(session(*said)))
    assert [one.text for one in memory.list()] == ["I live in Lyon."]


def test_entries_of_the_caller(service: AgentMemMemoryService, memory: Memory) -> None:
    def entry(*parts: str, **more: Any) -> Any:
        content = types.Content(role="user", parts=[types.Part(text=one) for one in parts])
        return MemoryEntry(content=content, **more)

    run(
        service.add_memory(
            **ANA,
            memories=[
                entry("Ana eats", "no meat.", id="diet", timestamp="2026-05-03T10:00:00"),
                entry("Ana lives in Lyon.", custom_metadata={"year": 2026}, author="crm"),
            ],
            custom_metadata={"checked": True},
        )
    )
    first, second = memory.list(user_id="ana", agent_id="trips")
    assert (first.text, first.created_at.isoformat()) == (
        "Ana eats\nno meat.",
        "2026-05-03T10:00:00+00:00",
    )
    assert first.metadata == {"message_id": "diet", "checked": True}
    assert (second.name, second.metadata) == ("crm", {"year": 2026, "checked": True})
    run(service.delete_memory(**ANA, memory_id="diet"))
    with pytest.raises(InputError, match="memory 1"):
        run(service.add_memory(**ANA, memories=[entry("x"), entry(" ")]))
    assert memory.count() == 1


@pytest.mark.parametrize("wrong", [{"user_id": None}, {"user_id": " "}, {"app_name": ""}])
def test_a_missing_user_or_app_is_refused(
    service: AgentMemMemoryService, memory: Memory, wrong: dict[str, Any]
) -> None:
    memory.add(FACT)
    with pytest.raises(InputError, match=next(iter(wrong))):
        found(service, "project", **wrong)
    with pytest.raises(InputError, match=next(iter(wrong))):
        run(service.add_events_to_memory(**{**ANA, **wrong}, events=[event("e1", FACT)]))
    with pytest.raises(InputError, match=next(iter(wrong))):
        run(service.delete_memory(**{**ANA, **wrong}, memory_id="e1"))
    assert memory.count() == 1


def test_a_scoped_handle_refuses_other_users(memory: Memory) -> None:
    service = AgentMemMemoryService(memory.scoped(user_id="ana"))
    with pytest.raises(InputError, match="bound to user_id='ana'"):
        found(service, "project", user_id="bo")
    with pytest.raises(InputError, match="bound to user_id='ana'"):
        run(service.add_session_to_memory(session(event("e1", FACT), user="bo")))


def test_the_flow_of_the_documentation(memory: Memory, llm: FakeLLM) -> None:
    """One agent is told something in a session, and another one looks it up in the next."""
    sessions, service = InMemorySessionService(), AgentMemMemoryService(memory)

    async def turn(agent: Any, session_id: str, text: str) -> str:
        runner = Runner(
            agent=agent, app_name="trips", session_service=sessions, memory_service=service
        )
        await sessions.create_session(**ANA, session_id=session_id)
        message = types.Content(role="user", parts=[types.Part(text=text)])
        said = ""
        async for one in runner.run_async(
            user_id="ana", session_id=session_id, new_message=message
        ):
            if one.is_final_response():
                said = one.content.parts[0].text
        done = await sessions.get_session(**ANA, session_id=session_id)
        await service.add_session_to_memory(done)
        return said

    llm.text, llm.models = "Noted.", ["gemini-2.5-flash"]
    capture = LlmAgent(model=llm.models[0], name="capture", instruction="Acknowledge what is said.")
    assert run(turn(capture, "monday", FACT)) == "Noted."

    call = {"functionCall": {"id": "c1", "name": "load_memory", "args": {"query": "project"}}}
    llm.queue.extend([generated(call), generated({"text": "It is Project Alpha."})])
    recall = LlmAgent(model=llm.models[0], name="recall", tools=[load_memory])
    question = "What is my favorite project?"
    assert run(turn(recall, "tuesday", question)) == "It is Project Alpha."
    assert FACT in str(llm.seen[-1].body["contents"][-1])
    assert [one.text for one in memory.list(session_id="tuesday")] == [
        question,
        "It is Project Alpha.",
    ]

    preload = LlmAgent(model=llm.models[0], name="preload", tools=[preload_memory])
    run(turn(preload, "wednesday", question))
    sent = str(llm.seen[-1].body["contents"])
    assert "<PAST_CONVERSATIONS>" in sent
    assert FACT in sent
    assert [one.text for one in memory.list(session_id="wednesday")] == [question, "Noted."]
