"""Turns of whom a question names rank a little higher."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import Memory
from agentmem.models.bundle.load import load_bundle
from agentmem.retrieval import speakers
from agentmem.retrieval.expand import Neighborhood, Side
from agentmem.retrieval.speakers import LEFT_OUT, Named, aside_from, named
from agentmem_storage.records import Turn


def said(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "content": text} for name, text in turns]


def named_by(memory: Memory, question: str) -> set[str]:
    return {hit.name for hit in memory.recall(question, k=20) if hit.explain["speaker"]}


def test_by_any_part_of_a_name_however_it_is_written(memory: Memory) -> None:
    memory.add(said(("Ana Müller", "I bake bread."), ("Bob", "I ride."), ("Jo", "I sing.")) * 2)
    assert named_by(memory, "What does ana bake?") == {"Ana Müller"}
    assert named_by(memory, "what do MÜLLER and Bob's friends do?") == {"Ana Müller", "Bob"}
    assert named_by(memory, "What is baked?") == set()
    assert named_by(memory, "What does Jo do?") == set()  # two letters may be any word


def test_of_equal_turns_that_of_the_named_comes_first(memory: Memory) -> None:
    memory.add(said(("Ana", "It was wonderful there."), ("Bob", "It was wonderful there.")) * 3)
    assert memory.recall("How did Bob like it?")[0].name == "Bob"
    assert memory.recall("How did Ana like it?")[0].name == "Ana"


def test_what_stands_alone_has_no_speaker(memory: Memory) -> None:
    memory.add(said(("Ana", "The bread is done."), ("Ana", "The garden is wet.")))
    assert named_by(memory, "What does Ana bake?") == set()


def test_one_kind_of_search_alone_does_not_count_it(memory: Memory) -> None:
    memory.add(said(("Ana", "I bake bread."), ("Bob", "I bake bread too.")))
    for mode in ("vector", "lexical"):
        hits = memory.recall("Does Bob bake bread?", mode=mode)  # type: ignore[arg-type]
        assert {hit.explain["speaker"] for hit in hits} == {0.0}


def test_the_words_that_name_them_are_those_of_the_question() -> None:
    turns = {
        number: Turn(4, number, number, name.encode().hex().upper())
        for number, name in enumerate(("Ana Müller", "Bob", "Jo"))
    }
    sides: dict[int, tuple[Side, Side]] = {0: ((), (1,)), 1: ((0,), (2,)), 2: ((1,), ())}
    found = named("What do MÜLLER, Jo and Bob's friends do?", Neighborhood(sides, turns))
    assert found == Named({0, 1}, ("MÜLLER", "Bob"))
    assert named("What is baked?", Neighborhood(sides, turns)) == Named(set(), ())


@given(names=st.lists(st.sampled_from(["Ana", "Bob", "Caroline", "Müller"]), min_size=1))
def test_most_of_the_names_is_left_out_of_the_embedding(names: list[str]) -> None:
    model = load_bundle()
    embed = model.embedder.embed_query
    question = embed(model.tokenizer.encode(f"What did {' and '.join(names)} paint?"))
    along = np.sum([embed(model.tokenizer.encode(name)) for name in names], axis=0)
    along /= np.linalg.norm(along)
    rest = aside_from(question, names, model)
    assert np.linalg.norm(rest) == pytest.approx(1, abs=1e-5)
    across = question - (question @ along) * along
    # What is across the names keeps its direction, and of what is along them .3 is left.
    kept = rest @ across / (across @ across)
    assert rest - (rest @ along) * along == pytest.approx(kept * across, abs=1e-5)
    assert rest @ along == pytest.approx((1 - LEFT_OUT) * kept * (question @ along), abs=1e-5)


def test_of_a_question_that_is_but_a_name_it_stays() -> None:
    model = load_bundle()
    name = model.embedder.embed_query(model.tokenizer.encode("Caroline"))
    assert aside_from(name, ["Caroline"], model) == pytest.approx(name, abs=1e-5)


def test_what_is_only_said_to_the_named_is_less_near(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = said(
        ("Ben", "Caroline, Caroline! Lovely to hear from you, Caroline."),
        ("Caroline", "I finished a canvas with sailing boats."),
        ("Ben", "Congratulations, Caroline."),
        ("Caroline", "It rained all week."),
    )

    def vectors(memory: Memory) -> dict[str, float]:
        hits = memory.recall("What has Caroline been painting?", k=4)
        return {hit.text: hit.explain["vector"] for hit in hits}

    with Memory(":memory:", model=load_bundle()) as memory:
        memory.add(talk)
        calls: list[str] = []
        kind = type(memory._model.embedder)
        unhindered = kind.embed_query

        def embed_query(embedder: Any, ids: Any) -> Any:
            calls.append(memory._model.tokenizer.decode(list(ids)))
            return unhindered(embedder, ids)

        monkeypatch.setattr(kind, "embed_query", embed_query)
        speakers._kept.clear()
        without = vectors(memory)
        assert max(without, key=lambda text: without[text]) == talk[1]["content"]
        monkeypatch.setattr(speakers, "LEFT_OUT", 0.0)
        assert without[talk[2]["content"]] < vectors(memory)[talk[2]["content"]]
        # The name once, and the question each time.
        assert calls.count("Caroline") == 1
        assert len(calls) == 3
