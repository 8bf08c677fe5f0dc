"""The storage of CrewAI's memory: alone, in that memory, and in a crew that asks a local server."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmem.errors import InputError
from agentmem.memory import Memory
from agentmem_storage.text import is_blank
from tests.support.llm import OPENAI_KEY, FakeLLM, completion, fake_llm
from tests.support.shipped import shipped_model

os.environ.setdefault("CREWAI_DISABLE_TELEMETRY", "true")
os.environ.setdefault("CREWAI_TRACING_ENABLED", "false")
os.environ.setdefault("OTEL_SDK_DISABLED", "true")
crewai = pytest.importorskip("crewai")

from crewai.memory import Memory as CrewMemory  # noqa: E402
from crewai.memory.storage.backend import StorageBackend  # noqa: E402
from crewai.memory.types import MemoryRecord  # noqa: E402

from agentmem.integrations.crewai import AgentMemStorage  # noqa: E402

POSTGRES = "We decided to use PostgreSQL for the user database."
LIMIT = "The API rate limit is 1000 requests per minute."


@pytest.fixture
def memory() -> Iterator[Memory]:
    with Memory(":memory:", model=shipped_model()) as opened:
        yield opened


@pytest.fixture
def storage(memory: Memory) -> AgentMemStorage:
    return AgentMemStorage(memory.scoped(agent_id="crew"))


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeLLM]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("CREWAI_STORAGE_DIR", str(tmp_path))
    with fake_llm() as server:
        yield server


def record(content: str, scope: str = "/", **more: Any) -> Any:
    return MemoryRecord(content=content, scope=scope, **more)


def search(storage: AgentMemStorage, text: str, **more: Any) -> list[tuple[str, float]]:
    found = storage.search(storage.embed([text])[0], **more)
    return [(one.content, score) for one, score in found]


def test_records_come_back_as_they_were_saved(storage: AgentMemStorage, memory: Memory) -> None:
    assert isinstance(storage, StorageBackend)
    long = " ".join(f"The train number {n} leaves at noon." for n in range(60))
    made = [
        record(POSTGRES, "/project/db", categories=["decision"], metadata={"by": "ana", "n": 1}),
        record(long, "/project", importance=0.9, source="ana", private=True),
        record(POSTGRES, "/other", created_at=datetime(2026, 5, 3, 10, tzinfo=UTC)),
    ]
    storage.save(made)
    storage.save([])
    assert [storage.get_record(one.id) for one in made] == made
    assert storage.get_record("none") is None
    changed = made[0].model_copy(update={"content": LIMIT, "categories": ["fact"]})
    storage.update(changed)
    assert storage.get_record(made[0].id) == changed
    assert storage.count() == 3
    assert {one.scope.agent_id for one in memory.list()} == {"crew"}
    with pytest.raises(InputError):
        storage.save([record("x"), record(" ")])
    with pytest.raises(InputError, match="twice"):
        storage.save([changed, changed])
    assert storage.count() == 3


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@settings(max_examples=8)
@given(
    text=st.text(min_size=1, max_size=200).filter(lambda text: not is_blank(text)),
    scope=st.lists(NAMES.filter(str.strip), max_size=3),
    categories=st.lists(st.text(max_size=5), max_size=3),
    metadata=st.dictionaries(st.text(max_size=5), VALUES, max_size=3),
)
def test_any_record_comes_back(
    text: str, scope: list[str], categories: list[str], metadata: dict[str, Any]
) -> None:
    path = "/" + "/".join(scope)
    made = record(text, path, categories=categories, metadata=metadata)
    with Memory(":memory:", model=shipped_model()) as memory:
        storage = AgentMemStorage(memory)
        storage.save([made])
        assert storage.get_record(made.id) == made
        assert storage.list_records(path) == [made]
        found = storage.search(storage.embed([text])[0], path, categories or None, metadata)
        assert [one for one, _ in found] == [made]
        assert storage.delete(path, categories or None, None, None, metadata) == 1


def test_other_memories_are_no_records(storage: AgentMemStorage, memory: Memory) -> None:
    memory.add("An id that looks like one.", id="crewai:x", agent_id="crew")
    assert storage.get_record("x") is None
    assert storage.count() == 0
    assert search(storage, "id") == []


def test_search_within_scopes_categories_and_metadata(storage: AgentMemStorage) -> None:
    storage.save(
        [
            record(POSTGRES, "/project/db", categories=["decision"], metadata={"by": "ana"}),
            record(LIMIT, "/project/api", categories=["fact"], metadata={"by": "bo", "a.b": None}),
            record(POSTGRES, "/projects", metadata={"by": "bo"}),
        ]
    )
    found = search(storage, "which database do we use?")
    assert [text for text, _ in found] == [POSTGRES, POSTGRES, LIMIT]
    assert 0 <= found[2][1] < found[0][1] <= 1
    assert search(storage, POSTGRES, limit=1) == [(POSTGRES, pytest.approx(1.0, abs=1e-5))]

    def texts(**conditions: Any) -> list[str]:
        return [text for text, _ in search(storage, "database", **conditions)]

    assert texts(scope_prefix="/project") == [POSTGRES, LIMIT]
    assert texts(scope_prefix="project/api/") == [LIMIT]
    assert texts(scope_prefix="/") == [POSTGRES, POSTGRES, LIMIT]
    assert texts(categories=["fact", "other"]) == [LIMIT]
    assert texts(metadata_filter={"by": "bo"}) == [POSTGRES, LIMIT]
    assert texts(metadata_filter={"a.b": 1}) == []
    assert texts(min_score=1.0) == []
    assert texts(limit=0) == []
    assert asyncio.run(storage.asearch(storage.embed(["database"])[0], "/project/db"))
    with pytest.raises(InputError, match="limit"):
        search(storage, "database", limit=-1)
    with pytest.raises(InputError, match="embedder=storage.embed"):
        storage.search([0.5] * 384)
    with pytest.raises(TypeError, match="list"):
        storage.embed("database")


def test_a_filter_costs_no_results(storage: AgentMemStorage) -> None:
    many = [record(f"The database number {n} is full.", metadata={"n": n}) for n in range(40)]
    storage.save(many)
    for n in (0, 39):
        assert len(search(storage, "database", metadata_filter={"n": n}, limit=1)) == 1


def test_what_is_deleted(storage: AgentMemStorage, memory: Memory) -> None:
    old, new = datetime(2020, 1, 1), datetime(2026, 1, 1)
    made = [
        record("Fact one.", "/a", created_at=old, categories=["x"]),
        record("Fact two.", "/a/b", created_at=new, metadata={"k": 1}),
        record("Fact three.", "/c", created_at=new),
        record("Fact four.", "/c", created_at=old),
    ]
    storage.save(made)
    memory.add("A note of the same scope.", agent_id="crew")
    AgentMemStorage(memory.scoped(agent_id="other")).save([made[0]])
    with pytest.raises(InputError, match="reset"):
        storage.delete()
    assert storage.delete(record_ids=["none"]) == 0
    assert storage.delete(scope_prefix="/a", categories=["x"], older_than=new) == 1
    assert storage.delete(metadata_filter={"k": 1}) == 1
    assert asyncio.run(storage.adelete(record_ids=[made[2].id])) == 1
    assert [one.content for one in storage.list_records()] == ["Fact four."]
    storage.reset("/none")
    storage.reset("/c")
    storage.save(made)
    storage.reset()
    assert storage.count() == 0
    assert [one.text for one in memory.list()] == ["A note of the same scope.", "Fact one."]


def test_lists_and_scopes(storage: AgentMemStorage) -> None:
    times = [datetime(2026, 1, day) for day in (2, 3, 1)]
    asyncio.run(
        storage.asave(
            [
                record("Two.", "/a/b", created_at=times[0], categories=["x", "y"]),
                record("Three.", "/a/c/d", created_at=times[1], categories=["x"]),
                record("One.", "/e", created_at=times[2]),
            ]
        )
    )
    assert [one.content for one in storage.list_records()] == ["Three.", "Two.", "One."]
    assert [one.content for one in storage.list_records("/a", limit=1, offset=1)] == ["Two."]
    assert storage.list_scopes() == ["/a", "/e"]
    assert storage.list_scopes("/a") == ["/a/b", "/a/c"]
    assert storage.list_categories("/a") == {"x": 2, "y": 1}
    assert storage.count("/a/c") == 1
    info = storage.get_scope_info("/a")
    assert (info.path, info.record_count, info.categories) == ("/a", 2, ["x", "y"])
    assert (info.oldest_record, info.newest_record) == (times[0], times[1])
    assert info.child_scopes == ["/a/b", "/a/c"]
    assert storage.get_scope_info("/z").record_count == 0


def test_the_memory_of_crewai(storage: AgentMemStorage) -> None:
    """The calls of CrewAI's documentation that need no language model."""
    ours = CrewMemory(storage=storage, embedder=storage.embed)
    about: dict[str, Any] = {"scope": "/project", "categories": ["decision"], "importance": 0.8}
    ours.remember(POSTGRES, **about)
    ours.remember(LIMIT, **about)
    matches = ours.recall("Which database did we choose?", depth="shallow", limit=1)
    assert [one.record.content for one in matches] == [POSTGRES]
    assert ours.list_scopes("/") == ["/project"]
    assert ours.forget(scope="/project") == 2
    ours.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # CrewAI's own, of its own fields
def test_a_crew_remembers(storage: AgentMemStorage, llm: FakeLLM) -> None:
    """A crew is told a decision by its memory, and what it found is stored there."""
    storage.save([record(POSTGRES, "/project")])
    learned = "The user database of the project is PostgreSQL 17."

    def said(text: str) -> Any:
        return completion({"content": text})

    analysis = {
        **{"suggested_scope": "/project", "categories": ["fact"], "importance": 0.5},
        "extracted_metadata": {"entities": [], "dates": [], "topics": []},
    }
    llm.queue.extend([said("Thought: I know.\nFinal Answer: It is PostgreSQL 17.")])
    llm.queue.append(said(json.dumps({"memories": [learned]})))
    llm.scripted = said(json.dumps(analysis))
    model = crewai.LLM(model="openai/tiny", base_url=f"{llm.url}/v1", api_key=OPENAI_KEY)
    agent = crewai.Agent(role="Architect", goal="Know things", backstory="Knows.", llm=model)
    task = crewai.Task(
        description="Which database do we use for users?", expected_output="A name", agent=agent
    )
    crew = crewai.Crew(
        agents=[agent],
        tasks=[task],
        memory=CrewMemory(storage=storage, embedder=storage.embed, llm=model),
    )
    assert "PostgreSQL 17" in str(crew.kickoff())
    assert POSTGRES in str(llm.seen[0].body["messages"])
    assert learned in [one.content for one in storage.list_records()]
