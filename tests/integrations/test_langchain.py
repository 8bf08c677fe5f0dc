"""The LangChain retriever, alone and in a chain."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from agentmem.errors import FilterError, InputError
from agentmem.memory import Memory
from agentmem.testing import tiny_model

retrievers = pytest.importorskip("langchain_core.retrievers")

from agentmem.integrations.langchain import AgentMemRetriever  # noqa: E402


@pytest.fixture
def memory() -> Iterator[Memory]:
    with Memory(":memory:", model=tiny_model()) as opened:
        opened.add(
            [
                {"role": "user", "content": "My locker is 17.", "metadata": {"year": 2020}},
                {"role": "user", "content": "My bike has a new lock.", "metadata": {"year": 2024}},
            ],
            user_id="ana",
            created_at="2024-05-01",
        )
        opened.add("Bo's locker is 88.", user_id="bo")
        yield opened


def test_memories_are_documents(memory: Memory) -> None:
    retriever = AgentMemRetriever(memory=memory.scoped(user_id="ana"))
    assert isinstance(retriever, retrievers.BaseRetriever)
    documents = retriever.invoke("locker")
    assert len(documents) == 2
    first = documents[0]
    assert first.page_content == "My locker is 17."
    assert first.metadata["year"] == 2020
    about = first.metadata["agentmem"]
    assert first.id == str(about["id"])
    assert (about["role"], about["user_id"]) == ("user", "ana")
    assert about["created_at"] == "2024-05-01T00:00:00+00:00"
    assert 0 <= about["relevance"] <= 1
    assert about["score"] >= documents[1].metadata["agentmem"]["score"]


def test_what_is_asked_for(memory: Memory) -> None:
    def texts(**options: Any) -> list[str]:
        retriever = AgentMemRetriever(memory=memory, **options)
        return [one.page_content for one in retriever.invoke("Bo locker")]

    assert texts(k=1) == ["Bo's locker is 88."]
    assert len(texts()) == 3
    assert texts(where={"year": {"gte": 2024}}) == ["My bike has a new lock."]
    assert texts(min_relevance=1.0) == []
    with pytest.raises(FilterError):
        texts(where={"year": {"above": 1}})
    with pytest.raises(InputError):
        texts(k=0)


def test_what_was_only_asked_is_left_out(memory: Memory) -> None:
    asked = {"role": "user", "content": "Where is my bike lock?"}
    memory.session(user_id="cleo").observe([asked], "Your bike lock is in the cellar.")
    scoped = memory.scoped(user_id="cleo")
    for where in (None, {"role": {"in": ["user", "assistant"]}}):
        found = AgentMemRetriever(memory=scoped, where=where).invoke("Where is my bike lock?")
        assert [one.page_content for one in found] == ["Your bike lock is in the cellar."]


def test_a_chain(memory: Memory) -> None:
    runnables = pytest.importorskip("langchain_core.runnables")
    retriever = AgentMemRetriever(memory=memory, k=1)
    chain = retriever | runnables.RunnableLambda(lambda found: found[0].page_content)
    assert asyncio.run(chain.ainvoke("Bo locker")) == "Bo's locker is 88."


def test_it_takes_a_memory_only(memory: Memory) -> None:
    with pytest.raises(ValueError, match="memory"):
        AgentMemRetriever(memory="notes")
    with pytest.raises(ValueError, match="search_kwargs"):
        AgentMemRetriever(memory=memory, search_kwargs={"k": 1})


def test_what_is_asked_for_in_one_call(memory: Memory) -> None:
    """It had no effect, and nothing said so."""
    retriever = AgentMemRetriever(memory=memory, k=1)
    assert len(retriever.invoke("locker", k=2)) == 2
    assert len(asyncio.run(retriever.ainvoke("locker", k=3))) == 3
    with pytest.raises(TypeError, match="top_k"):
        retriever.invoke("locker", top_k=2)
