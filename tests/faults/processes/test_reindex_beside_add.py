"""The lexical index is rebuilt while others add, forget and reword: every memory stays findable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import agentmem.maintenance
from agentmem import Memory
from agentmem.models.bundle.load import ModelBundle


@pytest.fixture
def other(memory: Memory, place: Path, model: ModelBundle) -> Iterator[Memory]:
    with Memory(place, model=model) as other:
        yield other


def found(memory: Memory, word: str) -> list[str]:
    return [hit.text for hit in memory.recall(word, mode="lexical")]


def test_what_is_added_while_it_decodes_is_found_by_its_words(
    memory: Memory, other: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.add("I like tea")
    (reworded,) = memory.add("I like rum").ids
    (forgotten,) = memory.add("I like gin").ids
    original, turns = agentmem.maintenance._terms, iter(["walrus", "heron"])

    def busy(*args: Any, **kwargs: Any) -> Any:
        made = original(*args, **kwargs)
        if (word := next(turns, None)) is not None:
            other.add(f"a {word}")
        return made

    monkeypatch.setattr(agentmem.maintenance, "_terms", busy)
    other.update(reworded, text="I like jam")
    other.forget([forgotten])
    memory.reindex()
    assert found(memory, "walrus") == ["a walrus"]
    assert found(memory, "heron") == ["a heron"]
    assert found(memory, "jam") == ["I like jam"]
    assert found(memory, "gin") == []
    assert not memory._store.terms_stale
    assert memory.verify().ok


def test_a_rebuild_that_was_cut_short_goes_on_when_the_store_is_opened(
    place: Path, model: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Memory(place, model=model) as memory:
        memory.add("I like tea")
        (walrus,) = memory.add("a walrus").ids
        # As if the walrus had been added after the texts were read, and the process then died.
        texts = [(chunk.id, chunk.text) for chunk in memory.list() if chunk.id != walrus]
        assert memory._store.rebuild_terms(texts).tolist() == [walrus]
        assert found(memory, "walrus") == []
    with Memory(place, model=model) as memory:
        assert found(memory, "walrus") == ["a walrus"]
        assert memory.verify().ok
