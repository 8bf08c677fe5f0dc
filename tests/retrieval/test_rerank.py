"""Reranking within a recall: reorders the best candidates, and changes nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import Memory, Message, Recall
from agentmem.errors import InputError, ModelError
from agentmem.models.bundle.load import ModelBundle
from agentmem.models.bundle.manifest import write_manifest
from agentmem.retrieval import rerank
from agentmem.retrieval.fusion import Weights
from agentmem.testing import tiny_bundle

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
TALK = (
    "When does the train to Lyon leave?",
    "At 9:40 from platform 12.",
    "Is there a dining car on the train?",
    "No, but the station has a bakery.",
    "Buy two croissants then.",
    "The weather in Lyon is fine.",
    "日本語の記憶もあります。",
    "I am vegan, by the way.",
)
ASKED = "the train to Lyon"


@pytest.fixture
def talk(memory: Memory) -> Memory:
    """Eight turns of Ana and Bob."""
    memory.add(
        Message(
            text,
            name=("Ana", "Bob")[number % 2],
            created_at=NOON + timedelta(minutes=number),
            metadata={"turn": number},
        )
        for number, text in enumerate(TALK)
    )
    return memory


@pytest.fixture(scope="module")
def plain_model(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    """The tiny bundle without its reranker."""
    folder = tiny_bundle(tmp_path_factory.mktemp("plain"))
    (folder / "reranker").rename(folder.parent / "taken-out")
    write_manifest(folder, "plain")
    return ModelBundle(folder)


def ids(found: Recall) -> list[int]:
    return [hit.id for hit in found]


def reranked(found: Recall) -> dict[int, float]:
    """By turn, what the reranker said."""
    return {hit.metadata["turn"]: hit.explain["rerank"] for hit in found}


def assert_explained(found: Recall, weights: Weights | None = None) -> None:
    """Scores are those of the formula, and the order is that of the scores."""
    weights = weights or Weights()
    for hit in found:
        scores = hit.explain
        own = weights.lexical * scores["lexical"] + weights.vector * scores["vector"]
        searched = own + weights.neighbor * scores["neighbors"] + weights.length * scores["length"]
        score = (searched + weights.rerank * scores["rerank"]) / (weights.top + weights.rerank)
        assert hit.score == pytest.approx(score)
    assert ids(found) == [hit.id for hit in sorted(found, key=lambda hit: (-hit.score, hit.id))]


def test_the_parts_explain_the_new_order(talk: Memory) -> None:
    found, before = (talk.recall(ASKED, k=8, rerank=way) for way in ("latent", None))
    assert_explained(found)
    said = [hit.explain["rerank"] for hit in found]
    assert (min(said), max(said)) == (0.0, 1.0)
    assert len(set(said)) == 8
    # It makes a difference here, and loses nothing.
    assert ids(found) != ids(before)
    assert set(ids(found)) == set(ids(before))
    assert {hit.explain["rerank"] for hit in before} == {0.0}


@given(
    texts=st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=8, unique=True),
    data=st.data(),
)
def test_any_query_gives_scores_in_range(model: ModelBundle, texts: list[str], data: Any) -> None:
    query = data.draw(st.one_of(st.sampled_from(texts), st.text(min_size=1).filter(str.strip)))
    with Memory(":memory:", model=model) as memory:
        memory.add(texts)
        found, before = (memory.recall(query, k=99, rerank=way) for way in ("latent", None))
        assert_explained(found)
        assert all(0.0 <= hit.score <= 1.0 for hit in found)
        assert set(ids(found)) == set(ids(before))


def test_only_the_best_are_looked_at(talk: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    before = talk.recall(ASKED, k=8, rerank=None)
    for most in (1, 3, 5, 8):
        monkeypatch.setattr(rerank, "MAX_RERANKED", most)
        found = talk.recall(ASKED, k=8)
        assert_explained(found)
        # They stay the best, in whatever order; behind them nothing moves.
        assert set(ids(found)[:most]) == set(ids(before)[:most])
        assert ids(found)[most:] == ids(before)[most:]
        assert {hit.explain["rerank"] for hit in list(found)[most:]} <= {0.0}


def test_fewer_hits_are_the_first_of_more(talk: Memory) -> None:
    every = ids(talk.recall(ASKED, k=8))
    for k in range(1, 9):
        assert ids(talk.recall(ASKED, k=k)) == every[:k]


class TestWhen:
    def test_by_default_in_hybrid_mode_only(self, talk: Memory) -> None:
        found, asked_for = talk.recall(ASKED, k=8), talk.recall(ASKED, k=8, rerank="latent")
        assert [(hit.id, hit.score) for hit in found] == [(hit.id, hit.score) for hit in asked_for]
        for mode in ("vector", "lexical"):
            alone, without = (
                talk.recall(ASKED, k=8, mode=mode, rerank=way)  # type: ignore[arg-type]
                for way in ("auto", None)
            )
            assert [hit.explain for hit in alone] == [hit.explain for hit in without]
            assert [hit.score for hit in alone] == [hit.score for hit in without]

    @pytest.mark.parametrize("mode", ["vector", "lexical"])
    def test_in_a_single_mode_if_requested(self, talk: Memory, mode: Any) -> None:
        found = talk.recall(ASKED, k=8, mode=mode, rerank="latent")
        part = mode
        weight = Weights().rerank
        for hit in found:
            score = (hit.explain[part] + weight * hit.explain["rerank"]) / (1 + weight)
            assert hit.score == pytest.approx(score)
        assert max(hit.explain["rerank"] for hit in found) == 1.0

    def test_by_default_not_without_a_reranker(self, plain_model: ModelBundle) -> None:
        with Memory(":memory:", model=plain_model) as memory:
            memory.add(TALK)
            found, before = (memory.recall(ASKED, k=8, rerank=way) for way in ("auto", None))
            assert [hit.score for hit in found] == [hit.score for hit in before]
            assert {hit.explain["rerank"] for hit in found} == {0.0}

    def test_asked_for_without_a_reranker_is_refused_before_any_work(
        self, plain_model: ModelBundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def work(*_: Any) -> Any:
            raise AssertionError("work was done")

        with Memory(":memory:", model=plain_model) as memory:
            for _ in range(2):
                with monkeypatch.context() as patched:
                    patched.setattr(plain_model.embedder, "embed_query", work)
                    patched.setattr(memory._store, "snapshot", work)
                    message = "'plain' comes without a reranker: recall wi"
                    with pytest.raises(ModelError, match=message):
                        memory.recall(ASKED, rerank="latent")
                memory.add(TALK)

    @pytest.mark.parametrize("word", ["Latent", "", "cross-encoder", True, 3])
    def test_an_unknown_way_is_refused(self, talk: Memory, word: Any) -> None:
        with pytest.raises(InputError, match=f"unknown rerank {word!r}: one of None, 'auto', 'lat"):
            talk.recall(ASKED, rerank=word)

    def test_nothing_found(self, memory: Memory) -> None:
        assert ids(memory.recall(ASKED, rerank="latent")) == []
        memory.add(TALK)
        assert ids(memory.recall("xylophone", mode="lexical", rerank="latent")) == []
        assert ids(memory.recall(ASKED, rerank="latent", user_id="nobody")) == []


class TestDamage:
    @pytest.fixture(
        params=[
            "latents = substr(latents, 1, length(latents) - 1)",
            "latents = x''",
            "tokens = tokens + 40",
        ]
    )
    def damaged(self, request: pytest.FixtureRequest, talk: Memory, place: Path) -> int:
        """The turn whose row somebody damaged."""
        with closing(sqlite3.connect(place / "memory.db")) as connection:
            row = connection.execute("SELECT id FROM chunks ORDER BY id LIMIT 1 OFFSET 2")
            (id,) = row.fetchone()
            connection.execute(f"UPDATE chunks SET {request.param} WHERE id = ?", (id,))
            connection.commit()
        return 2

    def test_it_is_put_last_by_the_reranker_and_stays(self, damaged: int, talk: Memory) -> None:
        found = talk.recall(ASKED, k=8, rerank="latent")
        assert_explained(found)
        said = reranked(found)
        assert sorted(said) == list(range(8))
        assert said[damaged] == 0.0
        assert max(said.values()) == 1.0
        for hit in found:
            if hit.metadata["turn"] != damaged:
                assert hit.text == TALK[hit.metadata["turn"]]


class TestNeighbors:
    """What stands beside a candidate is seen, if the recall may see it at all."""

    @staticmethod
    def scores(model: ModelBundle, between: Message, **selection: Any) -> list[float]:
        """What the reranker says of two turns, with a third between them."""
        with Memory(":memory:", model=model) as memory:
            for turn in (Message(TALK[0]), between, Message(TALK[1]), Message(TALK[5])):
                memory.add(turn, user_id="ana", metadata={"channel": turn.name or "web"})
            found = memory.recall(ASKED, k=9, user_id="ana", **selection)
            said = {hit.text: hit.explain["rerank"] for hit in found}
            return [said[TALK[0]], said[TALK[1]], said[TALK[5]]]

    def test_they_are_seen(self, model: ModelBundle) -> None:
        one, other = (
            self.scores(model, Message(text)) for text in ("A train? To Lyon?", "Who knows.")
        )
        assert not np.allclose(one, other, atol=1e-3)

    def test_those_that_a_filter_keeps_out_are_not(self, model: ModelBundle) -> None:
        one, other = (
            self.scores(model, Message(text, name="phone"), where={"channel": "web"})
            for text in ("A train? To Lyon?", "Who knows.")
        )
        np.testing.assert_allclose(one, other, atol=1e-5)

    def test_those_of_other_scopes_are_not(self, model: ModelBundle) -> None:
        said = []
        for stranger in ("A train? To Lyon?", "Who knows."):
            with Memory(":memory:", model=model) as memory:
                for number, text in enumerate((TALK[0], TALK[1], TALK[5])):
                    memory.add(text, user_id="ana")
                    memory.add(f"{stranger} {number}", user_id="bob")
                found = memory.recall(ASKED, k=9, user_id="ana")
                said.append({hit.text: hit.explain["rerank"] for hit in found})
        assert len(said[0]) == 3
        assert said[0] == pytest.approx(said[1], abs=1e-5)

    def test_the_speaker_is_seen(self, model: ModelBundle) -> None:
        said = []
        for name in ("Lyon", "Bob"):
            with Memory(":memory:", model=model) as memory:
                memory.add([Message(TALK[1], name=name), Message(TALK[0]), Message(TALK[5])])
                found = memory.recall("What did Lyon say?", k=3)
                said.append({hit.text: hit.explain["rerank"] for hit in found})
        assert said[0] != pytest.approx(said[1], abs=1e-3)


@pytest.fixture
def many(model: ModelBundle) -> Iterator[Memory]:
    with Memory(":memory:", model=model) as memory:
        memory.add([f"Memory number {number} of a train to Lyon" for number in range(130)])
        yield memory


def test_of_many_candidates_the_best_are_looked_at(many: Memory) -> None:
    found, before = (many.recall(ASKED, k=130, rerank=way) for way in ("latent", None))
    assert len(found) == 130
    assert set(ids(found)) == set(ids(before))
    looked_at = [
        hit.explain["rerank"] for hit in found if hit.id in ids(before)[: rerank.MAX_RERANKED]
    ]
    assert sum(said > 0 for said in looked_at) == rerank.MAX_RERANKED - 1
    assert set(ids(found)[: rerank.MAX_RERANKED]) == set(ids(before)[: rerank.MAX_RERANKED])


@pytest.mark.parametrize("query", ["dog", "dogs", "Dog?"])
def test_a_single_word_is_found_where_it_stands(query: str) -> None:
    with Memory(":memory:") as memory:
        memory.add(["My dog is called Rex.", "I live in Bern."])
        assert memory.recall(query)[0].text == "My dog is called Rex."
