"""The Haystack retriever, alone and in a pipeline."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from agentmem.errors import FilterError, InputError
from agentmem.memory import Memory
from tests.support.shipped import shipped_model

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")
haystack = pytest.importorskip("haystack")

from haystack.components.builders import PromptBuilder  # noqa: E402

from agentmem.integrations.haystack import AgentMemRetriever  # noqa: E402


@pytest.fixture
def memory() -> Iterator[Memory]:
    with Memory(":memory:", model=shipped_model()) as opened:
        opened.add("My locker is 17.", user_id="ana", metadata={"year": 2020})
        opened.add("My bike has a new lock.", user_id="ana", metadata={"year": 2024})
        opened.add("Bo's locker is 88.", user_id="bo")
        yield opened


def test_memories_are_documents(memory: Memory) -> None:
    found = AgentMemRetriever(memory.scoped(user_id="ana")).run(query="locker")["documents"]
    assert [one.content for one in found] == ["My locker is 17.", "My bike has a new lock."]
    first = found[0]
    assert isinstance(first, haystack.Document)
    assert first.meta["year"] == 2020
    assert first.meta["agentmem"]["user_id"] == "ana"
    assert first.id == str(first.meta["agentmem"]["id"])
    assert first.score >= found[1].score


def test_what_is_asked_for(memory: Memory) -> None:
    def texts(top_k: int | None = None, **options: Any) -> list[str]:
        found = AgentMemRetriever(memory, **options).run("Bo locker", top_k=top_k)
        return [one.content for one in found["documents"]]

    assert texts(k=1) == texts(top_k=1) == ["Bo's locker is 88."]
    assert len(texts()) == 3
    assert texts(where={"year": {"gte": 2024}}) == ["My bike has a new lock."]
    assert texts(min_relevance=1.0) == []
    with pytest.raises(FilterError):
        texts(where={"year": {"above": 1}})
    with pytest.raises(InputError):
        texts(top_k=0)
    with pytest.raises(InputError, match="'notes'"):
        AgentMemRetriever("notes")


def test_a_pipeline(memory: Memory) -> None:
    template = "{% for one in documents %}{{ one.content }}{% endfor %} {{ query }}"
    pipeline = haystack.Pipeline()
    pipeline.add_component("retriever", AgentMemRetriever(memory.scoped(user_id="bo")))
    pipeline.add_component("prompt", PromptBuilder(template, required_variables="*"))
    pipeline.connect("retriever.documents", "prompt.documents")
    query = "Which locker?"
    result = pipeline.run({"retriever": {"query": query}, "prompt": {"query": query}})
    assert result["prompt"]["prompt"] == "Bo's locker is 88. Which locker?"
