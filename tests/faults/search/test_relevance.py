"""Unrelated questions scored .25 to .33, right ones .46, "the" .57: nothing said "nothing fits".

Scores only order the hits of one recall. Relevance is a probability that can be compared.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import AsyncMemory, Memory, Recall
from agentmem.errors import InputError
from agentmem.models.bundle.load import ModelBundle, load_bundle
from agentmem.models.text import with_embedder
from agentmem.retrieval.calibration import Calibration, Signals, calibration, knows_cosines
from agentmem_storage.words import asks_nothing
from tests.support.cli import ROOT, Cli

MEMORIES = [
    "I booked the 9:40 train to Lyon, seat 23A.",
    "My dog is called Rex, and he is afraid of thunder.",
    "We had grilled sardines for lunch in Porto.",
    "The hotel in Lisbon was too warm.",
    "My sister Marta lives in Porto.",
    "I am allergic to peanuts.",
    "The dentist moved my appointment to the third of June.",
    "The code of the garage door is 4711.",
]
ANSWERED = [
    "When does my train to Lyon leave?",
    "What is my dog called?",
    "Where did we have sardines for lunch?",
    "Where does my sister Marta live?",
    "What am I allergic to?",
    "When is my dentist appointment?",
    "What is the code of the garage door?",
    "garage door code",
    "Marta sister",
    "dog Rex thunder",
]
UNRELATED = [
    "What is my blood type?",
    "Who won the chess tournament in 1987?",
    "How do I compile a Rust crate?",
    "Which telescope did Galileo use?",
    "What did the committee decide about taxes?",
    "When was the cathedral of Cologne finished?",
    "blood type",
    "quarterly revenue forecast",
    "kubernetes ingress controller",
]
FUNCTION_WORDS = [
    "the",
    "The",
    "and",
    "is it",
    "of the",
    "what is the",
    "do you?",
    "who was that",
    "what am I?",
    "What Am I?",
    "all those",
    "could you tell me?",
    "tell me more",
    "some",
    "may I?",
    "May we?",
    "up",
    "very",
    "just that",
    "?",
]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    """A small store with the weights that come with the package."""
    with Memory(tmp_path_factory.mktemp("relevance")) as memory:
        memory.add(MEMORIES, user_id="ana")
        yield memory


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, model: ModelBundle) -> Iterator[Memory]:
    """The same store with other weights, for which no cosines are known."""
    with Memory(tmp_path_factory.mktemp("tiny"), model=model) as memory:
        memory.add(MEMORIES, user_id="ana")
        yield memory


def of(found: Recall) -> dict[int, float]:
    return {hit.id: hit.relevance for hit in found}


@pytest.mark.parametrize("query", ANSWERED)
def test_a_question_that_is_answered(shipped: Memory, query: str) -> None:
    found = shipped.recall(query, user_id="ana")
    assert found.confident
    assert max(of(found).values()) > 0.4


@pytest.mark.parametrize("query", [*UNRELATED, *FUNCTION_WORDS])
def test_nothing_fits(shipped: Memory, query: str) -> None:
    found = shipped.recall(query, user_id="ana")
    assert len(found)  # the closest are returned all the same
    assert not found.confident
    assert found.relevance < 0.3
    assert max(of(found).values()) < 0.2


@pytest.mark.parametrize("weights", ["shipped", "tiny"])
def test_relevance_orders_queries(weights: str, request: pytest.FixtureRequest) -> None:
    memory: Memory = request.getfixturevalue(weights)
    answered = [memory.recall(query, user_id="ana").relevance for query in ANSWERED]
    others = [memory.recall(q, user_id="ana").relevance for q in (*UNRELATED, *FUNCTION_WORDS)]
    assert min(answered) > max(others)


@pytest.mark.parametrize("query", [ANSWERED[0], UNRELATED[0], "the", "Porto"])
@pytest.mark.parametrize(
    "options",
    [{"mode": "vector"}, {"mode": "lexical"}, {"rerank": None}, {"order": "time"}, {"k": 3}],
    ids=str,
)
def test_a_memory_is_as_relevant_in_every_mode(
    shipped: Memory, query: str, options: dict[str, Any]
) -> None:
    expected = shipped.recall(query, user_id="ana")
    found = shipped.recall(query, user_id="ana", **options)
    assert of(found) == pytest.approx({hit.id: of(expected)[hit.id] for hit in found}, abs=0.02)


def test_an_empty_store_and_words_that_are_nowhere(shipped: Memory) -> None:
    for found in (
        shipped.recall("when is my train?", user_id="nobody"),
        shipped.recall("zygote", user_id="ana", mode="lexical"),
    ):
        assert (len(found), found.relevance, found.confident) == (0, 0.0, False)


@pytest.mark.parametrize("copies", [1, 5, 20, 100])
def test_stores_of_every_size(model: ModelBundle, copies: int) -> None:
    with Memory(":memory:", model=model) as memory:
        notes = [f"Note {n}: bread, milk and {n} apples." for n in range(copies - 1)]
        memory.add(["My sister Marta lives in Porto.", *notes])
        assert memory.recall("Where does my sister Marta live?").confident
        assert not memory.recall("Who won the chess tournament in 1987?").confident
        assert not memory.recall("the").confident


def test_what_others_wrote_changes_nothing(tiny: Memory) -> None:
    query = "Where does my sister Marta live?"
    before = tiny.recall(query, user_id="ana")
    tiny.add([f"My sister Marta lives in house {n}." for n in range(20)], user_id="bob")
    after = tiny.recall(query, user_id="ana")
    assert of(after) == of(before)
    assert after.relevance == before.relevance


def test_an_added_memory_has_a_relevance_of_its_own(shipped: Memory) -> None:
    found = shipped.recall("dog Rex", user_id="ana", k=1, expand="neighbors")
    best, *added = found
    assert added
    assert all(hit.relevance < best.relevance for hit in added)


@pytest.mark.parametrize("query", ["sister Marta", "blood type", "the"])
@pytest.mark.parametrize("weights", ["shipped", "tiny"])
def test_of_a_single_memory_hit_and_recall_are_as_relevant(
    weights: str, query: str, request: pytest.FixtureRequest
) -> None:
    memory: Memory = request.getfixturevalue(weights)
    memory.add(MEMORIES[4], user_id="only")
    found = memory.recall(query, user_id="only")
    assert [hit.relevance for hit in found] == [found.relevance]


# Only "may we" is of function words; a month is none.
@pytest.mark.parametrize(
    ("query", "nothing"), [("May we?", True), ("What did we do in May?", False)]
)
def test_may(query: str, nothing: bool) -> None:
    assert asks_nothing(query) is nothing


# min_relevance


def test_the_least_relevance(shipped: Memory) -> None:
    query = "Where does my sister Marta live?"
    everything = shipped.recall(query, user_id="ana")
    for least in (0, 0.0, 0.05, 0.4, np.float32(0.4), 1):
        found = shipped.recall(query, user_id="ana", min_relevance=least)
        kept = [hit.id for hit in everything if hit.relevance >= least]
        assert [hit.id for hit in found] == kept
        assert found.relevance == everything.relevance
    assert len(shipped.recall("What is my blood type?", user_id="ana", min_relevance=0.4)) == 0


def test_what_is_left_out_adds_nothing(shipped: Memory) -> None:
    options: dict[str, Any] = {"user_id": "ana", "expand": "neighbors", "min_relevance": 0.4}
    found = shipped.recall("What is my dog called?", **options)
    assert [hit.expanded_from is None for hit in found].count(True) == 1
    assert len(found) == 3  # with the memories before and after it
    assert len(shipped.recall("What is my blood type?", **options)) == 0


@pytest.mark.parametrize("least", [-0.1, 1.1, math.nan, math.inf, -1, 50])
def test_no_probability_is_refused(tiny: Memory, least: float) -> None:
    with pytest.raises(InputError, match=f"min_relevance={least!r} must be from 0 to 1"):
        tiny.recall("train", min_relevance=least)


@pytest.mark.parametrize("least", ["0.5", True, [0.5], 1j])
def test_no_number_is_refused(tiny: Memory, least: Any) -> None:
    with pytest.raises(TypeError, match="min_relevance must be a number from 0 to 1, not"):
        tiny.recall("train", min_relevance=least)


def test_asynchronous_and_scoped(tmp_path: Path, model: ModelBundle) -> None:
    async def run() -> None:
        async with await AsyncMemory.open(tmp_path / "s", model=model) as memory:
            ana = memory.scoped(user_id="ana")
            await ana.add(MEMORIES)
            assert len(await ana.recall("sister Marta lives", min_relevance=0.4)) == 1
            assert not await ana.recall("blood type", min_relevance=0.4)
            assert not (await ana.recall("the")).confident

    asyncio.run(run())


def test_the_command_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    for text in MEMORIES:
        cli.ok("add", text)
    told = cli.json("recall", "sister Marta lives")
    assert told["confident"]
    assert told["relevance"] > 0.5
    assert told["hits"][0]["relevance"] > 0.4
    assert "relevance 0." in cli.ok("recall", "sister Marta lives")
    kept = cli.json("recall", "sister Marta lives", "--min-relevance", 0.4)["hits"]
    assert [hit["text"] for hit in kept] == [MEMORIES[4]]

    unfit = cli.run("recall", "blood type")
    assert "probably nothing in memory fits" in unfit.stderr
    assert not cli.json("recall", "blood type")["confident"]
    assert cli.json("recall", "blood type", "--min-relevance", 0.4)["hits"] == []
    assert cli.ok("recall", "blood type", "--min-relevance", 0.4) == "nothing found\n"
    assert "--min-relevance" in cli.error(2, "recall", "x", "--min-relevance", 2)

    closest = "not in memory, as far as I can tell; the closest memories:"
    assert closest in cli.ok("ask", "What is my blood type?")
    assert closest not in cli.ok("ask", "Where does my sister Marta live?")
    assert cli.json("ask", "What is my blood type?")["relevance"] < 0.5


# The numbers


class Letters:
    """An embedder of one's own, whose cosines mean nothing: how often each letter occurs."""

    name, fingerprint, dims = "letters", "1", 26

    def embed_documents(self, texts: Any) -> Any:
        rows = [[text.lower().count(chr(97 + n)) + 0.01 for n in range(26)] for text in texts]
        return np.array(rows, dtype=np.float32)

    def embed_query(self, text: str) -> Any:
        return self.embed_documents([text])[0]


def test_an_embedder_of_ones_own_leaves_relevance_to_the_words(model: ModelBundle) -> None:
    with Memory(":memory:", model=with_embedder(model, Letters())) as memory:
        memory.add(MEMORIES)
        for query in ANSWERED:
            assert memory.recall(query).confident, query
        for query in (*UNRELATED, *FUNCTION_WORDS):
            assert not memory.recall(query).confident, query


def test_the_numbers_belong_to_the_weights_of_the_package() -> None:
    assert knows_cosines(load_bundle().fingerprint)
    assert not knows_cosines("another")
    assert "cosine" in calibration(cosines=True).weights
    assert "cosine" not in calibration(cosines=False).weights


def test_they_are_those_of_the_result_file_and_reach_what_was_asked_of_them() -> None:
    result = json.loads((ROOT / "benchmarks/results/relevance.json").read_text("utf-8"))["results"]
    shipped = (ROOT / "agentmem/retrieval/calibration.json").read_text("utf-8")
    assert json.loads(shipped) == result["fitted"]
    for signals in ("cosine", "words"):
        figures = result["signals"][signals]["all"]
        assert figures["questions"] >= 1_000
        assert figures["auroc"] >= 0.85
        assert figures["ece"] <= 0.05


signal = st.floats(0, 1)


@given(
    one=st.tuples(st.floats(-1, 1), signal, st.floats(0, 60), st.floats(0, 20)),
    more=st.tuples(signal, signal, signal),
    cosines=st.booleans(),
)
def test_more_in_common_is_more_relevant(
    one: tuple[float, float, float, float], more: tuple[float, float, float], cosines: bool
) -> None:
    numbers: Calibration = calibration(cosines=cosines)
    signals = Signals(*one)
    better = Signals(*(a + b for a, b in zip(one, (*more, 0.0), strict=True)))
    low, high = numbers.evidence(signals), numbers.evidence(better)
    assert low <= high
    assert 0 <= numbers.of_recall(low) <= numbers.of_recall(high) <= 1
    assert 0 <= numbers.of_hit(low, high) <= numbers.of_hit(high, high) <= 1


@given(query=st.text(min_size=1).filter(lambda text: text.strip() and text.isprintable()))
def test_any_query_has_a_relevance(tiny: Memory, query: str) -> None:
    found = tiny.recall(query, user_id="ana")
    assert 0 <= found.relevance <= 1
    assert all(0 <= hit.relevance <= 1 for hit in found)
