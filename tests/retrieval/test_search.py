"""`Memory.recall`: scores, modes, filters, and invalid arguments."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import Memory, Message
from agentmem.errors import FilterError, InputError
from agentmem.models.base import Codec, Latent, MemoryModel
from agentmem.models.bundle.load import ModelBundle
from agentmem.retrieval.fusion import (
    ALONE_LENGTH,
    ALONE_NEIGHBORS,
    FULL_LENGTH,
    NEIGHBOR_DECAY,
    SPANNED,
    Weights,
    fuse,
    length,
    normalize_cosines,
)
from agentmem.retrieval.query import Mode
from agentmem_storage.records import Ranked, Turn

Unchanged = Callable[[Memory], AbstractContextManager[None]]

MODES: tuple[Mode, ...] = ("hybrid", "vector", "lexical")
DAY = datetime(2026, 5, 1, tzinfo=UTC)
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


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory, model: ModelBundle) -> Iterator[Memory]:
    """Eight turns, a day apart, by turns of Ana and Bob; the channel changes in the middle.

    All tests search the same store; none may change it.
    """
    with Memory(tmp_path_factory.mktemp("talk"), model=model) as memory:
        memory.add(
            Message(
                text,
                name=("Ana", "Bob")[number % 2],
                created_at=DAY + timedelta(days=number),
                metadata={"channel": "web" if number < 4 else "phone", "turn": number},
            )
            for number, text in enumerate(TALK)
        )
        yield memory


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("k", [1, 3, 8, 1000])
def test_scores_fall_from_at_most_one_to_at_least_zero(talk: Memory, mode: Mode, k: int) -> None:
    found = talk.recall("the train to Lyon", k=k, mode=mode)
    scores = [hit.score for hit in found]
    assert scores == sorted(scores, reverse=True)
    assert 0.0 <= scores[-1] <= scores[0] <= 1.0
    assert len(found) == min(k, 3 if mode == "lexical" else 8)
    assert len({hit.id for hit in found}) == len(found)
    assert found.candidates == 8


@given(
    texts=st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=8), data=st.data()
)
def test_any_query_gives_scores_in_range(model: ModelBundle, texts: list[str], data: Any) -> None:
    query = data.draw(st.one_of(st.sampled_from(texts), st.text(min_size=1).filter(str.strip)))
    with Memory(":memory:", model=model) as memory:
        memory.add(texts)
        for mode in MODES:
            scores = [hit.score for hit in memory.recall(query, mode=mode)]
            assert all(0.0 <= score <= 1.0 for score in scores)
            assert scores == sorted(scores, reverse=True)


def test_fewer_hits_are_the_first_of_more(talk: Memory) -> None:
    for mode in MODES:
        all_ids = [hit.id for hit in talk.recall("train to Lyon", k=8, mode=mode)]
        for k in range(1, 9):
            assert [hit.id for hit in talk.recall("train to Lyon", k=k, mode=mode)] == all_ids[:k]


@given(
    st.lists(st.integers(0, 1000), min_size=SPANNED, max_size=3 * SPANNED),
    st.integers(SPANNED, 3 * SPANNED),
)
def test_cosines_count_the_same_however_many_are_found(found: list[int], few: int) -> None:
    scores = np.sort(np.array(found, dtype=np.float32) / 1000)[::-1]
    ranked = Ranked(np.arange(len(scores)), scores)
    all_found = normalize_cosines(ranked)
    first = normalize_cosines(Ranked(ranked.ids[:few], scores[:few]))
    assert [first[id] for id in range(SPANNED)] == [all_found[id] for id in range(SPANNED)]
    scaled = [all_found[id] for id in range(len(scores))]
    assert all(0 <= one <= 1 for one in scaled)
    # What is farther never counts more; it counts less if the nearest can be told apart.
    assert scaled == sorted(scaled, reverse=True)
    if scores[0] > scores[SPANNED - 1]:
        assert len(set(scaled)) == len(set(scores.tolist()))


def test_each_mode_uses_its_own_scores(talk: Memory) -> None:
    lexical = talk.recall("bakery", mode="lexical")
    assert [hit.text for hit in lexical] == [TALK[3]]
    assert lexical[0].explain == dict.fromkeys(lexical[0].explain, 0.0) | {"lexical": 1.0}
    keys = talk.recall("bakery", mode="vector")
    assert all(hit.explain["lexical"] == hit.explain["neighbors"] == 0.0 for hit in keys)
    assert keys[0].score == keys[0].explain["vector"]
    hybrid = talk.recall("bakery", mode="hybrid", rerank=None)
    assert hybrid[0].text == TALK[3]


def test_the_parts_explain_the_score(talk: Memory) -> None:
    weights = Weights()
    for hit in talk.recall("train to Lyon", k=8, rerank=None):
        own = weights.lexical * hit.explain["lexical"] + weights.vector * hit.explain["vector"]
        whole = own + weights.neighbor * hit.explain["neighbors"]
        whole += weights.length * hit.explain["length"]
        assert hit.score == pytest.approx(whole / weights.top)


def test_names_and_titles_can_be_searched_for(talk: Memory) -> None:
    assert {hit.name for hit in talk.recall("Bob", mode="lexical")} == {"Bob"}


def test_a_match_boosts_distant_neighbors_less() -> None:
    sides = {1: ((), (2, 3, 4)), 4: ((3, 2, None), ())}
    found = {one.id: one.explain for one in fuse({1: 1.0}, {4: 0.0}, sides, Weights(), turns={})}
    lifts = [found[id]["neighbors"] for id in (1, 2, 3, 4)]
    assert lifts == [0.0, *(share * Weights().lexical for share in NEIGHBOR_DECAY)]
    assert list(NEIGHBOR_DECAY) == sorted(NEIGHBOR_DECAY, reverse=True)


def test_of_equal_matches_the_longer_is_ranked_first() -> None:
    alike = {1: 0.5, 2: 0.5, 3: 0.5}
    turns = {id: Turn(tokens, id, 0, "ana") for id, tokens in ((1, 3), (2, 30), (3, FULL_LENGTH))}
    found = fuse(alike, alike, {}, Weights(), turns=turns)
    assert [one.id for one in found] == [3, 2, 1]
    assert found[0].explain["length"] == length(10 * FULL_LENGTH) == 1.0
    assert length(0) == 0.0


def add_talk(memory: Memory, gap: timedelta, names: Sequence[str] = ("Ana", "Bob")) -> None:
    memory.add(
        Message(text, name=names[number % len(names)], created_at=DAY + number * gap)
        for number, text in enumerate(TALK)
    )


def test_neighbors_of_a_match_are_boosted(memory: Memory) -> None:
    add_talk(memory, timedelta(minutes=1))
    explain = {hit.text: hit.explain for hit in memory.recall("bakery", k=8)}
    beside = [explain[TALK[2]]["neighbors"], explain[TALK[4]]["neighbors"]]
    others = [explain[text]["neighbors"] for text in TALK if text not in TALK[2:5]]
    assert min(beside) >= Weights().lexical
    # Of the others, neighbors are alike in vectors at most.
    assert max(others) <= 2 * sum(NEIGHBOR_DECAY) * Weights().vector


@pytest.mark.parametrize(
    ("gap", "names"),
    [(timedelta(minutes=31), ("Ana", "Bob")), (timedelta(minutes=1), ("Ana",))],
)
def test_what_is_no_conversation_has_no_neighbors(
    memory: Memory, gap: timedelta, names: Sequence[str]
) -> None:
    """Turns of other times, and what one person notes, only happen to be one after the other."""
    add_talk(memory, gap, names)
    for hit in memory.recall("bakery", k=8):
        own = hit.explain["lexical"] * Weights().lexical + hit.explain["vector"] * Weights().vector
        assert hit.explain["neighbors"] == pytest.approx(ALONE_NEIGHBORS * own)
        assert hit.explain["length"] == ALONE_LENGTH


def test_a_match_of_few_words_of_the_question_counts_less(memory: Memory) -> None:
    memory.add(["The violin is old.", "My brother plays chess."])
    whole = memory.recall("violin")[0]
    part = memory.recall("violin lessons in winter")[0]
    assert whole.text == part.text == "The violin is old."
    assert part.explain["lexical"] < 0.5 < whole.explain["lexical"] == 1.0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("selection", "turns"),
    [
        ({"where": {"channel": "phone"}}, range(4, 8)),
        ({"where": {"turn": {"gte": 3, "lt": 5}}}, [3, 4]),
        ({"where": {"name": "Bob", "channel": "web"}}, [1, 3]),
        ({"where": {"or": [{"turn": 0}, {"not": {"turn": {"lt": 7}}}]}}, [0, 7]),
        ({"since": DAY + timedelta(days=3)}, range(3, 8)),
        ({"until": DAY + timedelta(days=3)}, range(3)),
        ({"since": "2026-05-04", "until": "2026-05-06T00:00:00Z"}, [3, 4]),
        ({"since": (DAY + timedelta(days=6)).timestamp()}, [6, 7]),
        ({"since": datetime(2026, 5, 8)}, [7]),
        ({"where": {"turn": 99}}, []),
    ],
    ids=str,
)
def test_no_hit_is_outside_the_filter(
    talk: Memory, mode: Mode, selection: dict[str, Any], turns: Sequence[int]
) -> None:
    """Not even a neighbor of a hit, and everything inside is found."""
    found = talk.recall(
        "train Lyon bakery vegan platform croissants 日本語", mode=mode, **selection
    )
    assert {hit.metadata["turn"] for hit in found} == set(turns)
    assert found.candidates == len(turns)
    assert [chunk.metadata["turn"] for chunk in talk.list(**selection)] == list(turns)


def test_matches_outside_the_filter_boost_nothing(talk: Memory) -> None:
    """Turn 3 speaks of the bakery; its neighbor 4 is asked for, 3 is not."""
    found = talk.recall("bakery", where={"channel": "phone"})
    assert all(hit.explain["lexical"] == 0.0 for hit in found)
    alone = {hit.metadata["turn"]: hit.explain["neighbors"] for hit in found}
    assert alone[4] < Weights().lexical


def test_a_selective_filter_still_finds_k(memory: Memory) -> None:
    memory.add([f"note {n} about trains" for n in range(400)], metadata={"rare": False})
    memory.add([f"rare note {n}" for n in range(5)], metadata={"rare": True})
    for mode in MODES:
        assert len(memory.recall("note about trains", k=5, where={"rare": True}, mode=mode)) == 5


@pytest.mark.parametrize("mode", MODES)
def test_an_empty_store_gives_an_empty_recall(memory: Memory, mode: Mode) -> None:
    found = memory.recall("anything", mode=mode)
    assert (list(found), len(found), found.candidates) == ([], 0, 0)
    assert found.pack(max_tokens=100).to_text() == ""


@pytest.mark.parametrize("mode", MODES)
def test_an_unknown_scope_gives_an_empty_recall(talk: Memory, mode: Mode) -> None:
    assert list(talk.recall("train", user_id="nobody", mode=mode)) == []
    assert list(talk.list(user_id="nobody")) == []


@pytest.mark.parametrize("mode", MODES)
def test_ties_go_to_the_older_memory(tmp_path: Path, model: ModelBundle, mode: Mode) -> None:
    def order(place: Path) -> list[int]:
        with Memory(place, model=model) as memory:
            for number in range(12):
                memory.add("the very same words", created_at=number)
            return [hit.id for hit in memory.recall("same words", k=12, mode=mode)]

    first = order(tmp_path / "a")
    if mode != "hybrid":  # where the ends of the row have one neighbor less
        assert first == sorted(first)
    assert first == order(tmp_path / "b")


class Watched:
    """A codec that counts how many chunks it was asked for the texts of."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.read = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codec, name)

    def look_up(self, latents: Sequence[Latent]) -> list[list[int] | None]:
        self.read += len(latents)
        return self._codec.look_up(latents)


def composed(model: ModelBundle, codec: Codec) -> MemoryModel:
    return MemoryModel(
        model.name,
        fingerprint=model.fingerprint,
        codec=codec,
        embedder=model.embedder,
        reranker=model.reranker,
    )


def test_text_is_decoded_only_when_asked_for(place: Path, model: ModelBundle) -> None:
    watched = Watched(model.codec)
    with Memory(place, model=composed(model, watched)) as memory:
        memory.add(list(TALK))
        watched.read = 0  # of those that what was added might contradict
        found = memory.recall("train", k=3)
        chunk = memory.get(1)
        assert found[0].score > 0
        assert found[0].latents.shape == (found[0].positions, 32)
        assert "latents" not in repr(found)
        assert watched.read == 0
        assert found[0].text in TALK
        assert watched.read == 3  # in one go
        assert {hit.text for hit in found} <= set(TALK)
        assert watched.read == 3
        assert chunk.text == TALK[0]
        assert watched.read == 4
    assert found[2].text in TALK


def test_kept_text_needs_no_decoding(place: Path, model: ModelBundle) -> None:
    watched = Watched(model.codec)
    with Memory(place, model=composed(model, watched), keep_text=True) as memory:
        memory.add(list(TALK))
        assert {hit.text for hit in memory.recall("train", k=8)} == set(TALK)
    assert watched.read == 0


def test_latents_are_the_memory_vectors(memory: Memory, model: ModelBundle) -> None:
    text = "All of this text takes more than sixteen tokens, so it needs several vectors."
    memory.add(text)
    hit = memory.recall("text")[0]
    tokens = len(model.tokenizer.encode(text))
    assert hit.tokens == tokens > 32
    assert hit.latents.dtype == np.int8
    assert hit.latents.shape == (-(-tokens // 16), 16 * 2)
    assert hit.positions == len(hit.latents)
    assert not hit.latents.reshape(-1)[tokens * 2 :].any()


def test_a_hit_has_all_fields(talk: Memory) -> None:
    import json

    hit = talk.recall("croissants", mode="lexical")[0]
    plain = json.loads(json.dumps(hit.to_dict()))
    assert plain["text"] == TALK[4]
    assert plain["score"] == 1.0
    assert plain["created_at"] == "2026-05-05T00:00:00+00:00"
    assert plain["metadata"] == {"channel": "phone", "turn": 4}
    assert plain["span"] == [0, len(TALK[4])]


def test_a_recall_is_a_sequence(talk: Memory) -> None:
    found = talk.recall("train to Lyon", k=4)
    assert list(found[:2]) == list(found)[:2]
    assert found[-1] is list(found)[-1]
    assert found[0] in found


@pytest.mark.parametrize("k", [0, -1, -(10**30)])
def test_k_below_one_is_refused(talk: Memory, k: int) -> None:
    with pytest.raises(InputError, match=f"k={k!r} must be at least 1"):
        talk.recall("train", k=k)


@pytest.mark.parametrize("k", [True, 1.5, "8", None])
def test_k_that_is_no_whole_number_is_refused(talk: Memory, k: Any) -> None:
    with pytest.raises(TypeError, match="k must be an integer, not"):
        talk.recall("train", k=k)


def test_a_huge_k_finds_what_there_is(talk: Memory) -> None:
    assert len(talk.recall("train", k=10**30)) == 8


@pytest.mark.parametrize("query", ["", " \n\t", "\u3000"])
def test_a_blank_query_is_refused(talk: Memory, query: str) -> None:
    with pytest.raises(InputError, match="is blank"):
        talk.recall(query)


@pytest.mark.parametrize("query", [None, 5, b"train", ["train"]])
def test_a_query_that_is_no_string_is_refused(talk: Memory, query: Any) -> None:
    with pytest.raises(TypeError, match="the query must be a string"):
        talk.recall(query)


def test_a_query_with_a_lone_surrogate_is_refused(talk: Memory) -> None:
    with pytest.raises(InputError, match="the query: lone surrogate .* at position 6"):
        talk.recall("train \udc80")


@pytest.mark.parametrize(
    "query",
    [
        '"',
        "NEAR(",
        "a AND",
        "*",
        "train OR (",
        "'; DROP TABLE chunks;--",
        "\x00",
        "{}^:-",
        "word " * 9999,
    ],
    ids=lambda query: repr(query[:20]),
)
@pytest.mark.parametrize("mode", MODES)
def test_nothing_in_a_query_is_an_operator(talk: Memory, query: str, mode: Mode) -> None:
    assert len(talk.recall(query, mode=mode)) <= 8


def test_an_unknown_mode_is_refused(talk: Memory) -> None:
    with pytest.raises(InputError, match="unknown mode 'keys'.*'hybrid', 'vector', 'lexical'"):
        talk.recall("train", mode="keys")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "where",
    [
        {"turn": {"$gte": 3}},
        {"turn": {"like": "x"}},
        {"xor": [{"turn": 1}]} | {"turn": {"gte": [1]}},
        {"and": {"turn": 1}},
        {"turn": {}},
        {"turn": {"in": 5}},
        {"turn": float("nan")},
    ],
    ids=str,
)
def test_an_unknown_operator_or_shape_is_refused(
    talk: Memory, where: dict[str, Any], unchanged: Unchanged
) -> None:
    with unchanged(talk):
        with pytest.raises(FilterError):
            talk.recall("train", where=where)
        with pytest.raises(FilterError):
            list(talk.list(where=where))
        with pytest.raises(FilterError):
            talk.forget(where=where)


@pytest.mark.parametrize("where", ["channel", ["channel"], 5, [], ""], ids=repr)
def test_a_filter_that_is_no_mapping_is_refused(
    talk: Memory, where: Any, unchanged: Unchanged
) -> None:
    with unchanged(talk):
        with pytest.raises((FilterError, TypeError)):
            talk.recall("train", where=where)
        with pytest.raises((InputError, TypeError)):
            talk.forget(where=where)
        with pytest.raises((InputError, TypeError)):
            talk.forget([1], where=where)


@pytest.mark.parametrize("moment", ["yesterday", "2026-13-01", [2026], True, 1e30], ids=repr)
def test_an_unreadable_time_is_refused(talk: Memory, moment: Any, unchanged: Unchanged) -> None:
    with unchanged(talk):
        with pytest.raises(InputError, match="since"):
            talk.recall("train", since=moment)
        with pytest.raises(InputError, match="until"):
            talk.recall("train", until=moment)
        with pytest.raises(InputError, match="since"):
            list(talk.list(since=moment))
        with pytest.raises(InputError, match="before"):
            talk.forget(before=moment)


def test_recall_of_many_is_deterministic(memory: Memory) -> None:
    chance = random.Random(5)
    memory.add([" ".join(chance.choices(TALK[0].split(), k=5)) + f" {n}" for n in range(300)])
    first = [(hit.id, hit.score) for hit in memory.recall("train leave Lyon", k=50)]
    for _ in range(3):
        assert [(hit.id, hit.score) for hit in memory.recall("train leave Lyon", k=50)] == first
