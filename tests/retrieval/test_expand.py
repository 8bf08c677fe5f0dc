"""``expand=``: neighbors and episodes around hits, inside scopes and filters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentmem import AsyncMemory, Memory, Message, Recall
from agentmem.errors import InputError
from agentmem.models.bundle.load import ModelBundle
from agentmem.retrieval.expand import MAX_FROM_EPISODE
from agentmem_storage import episodes

Unchanged = Callable[[Memory], AbstractContextManager[None]]

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
WORDS = ("apple", "birch", "cedar", "daisy", "elder", "ficus", "grape", "hazel", "iris", "jasmin")


@pytest.fixture(autouse=True)
def _by_time_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model's keys mean nothing: here only gaps in time part episodes."""
    monkeypatch.setattr(episodes, "SHARE", -1.0)


@pytest.fixture
def talk(memory: Memory) -> Memory:
    """Ten turns of Ana and Bob in three goes: 0 to 3, 4 to 8, and 9; a stranger in between."""
    for part in (range(5), range(5, 10)):
        memory.add(
            [
                Message(
                    f"The {WORDS[number]} tree",
                    name=("Ana", "Bob")[number % 2],
                    created_at=NOON + timedelta(hours=2 * (number >= 4) + 2 * (number >= 9)),
                    metadata={"turn": number},
                )
                for number in part
            ],
            user_id="ana",
        )
        memory.add([f"A stranger's {WORDS[n]}" for n in part], created_at=NOON, user_id="bob")
    return memory


def turns(found: Recall) -> list[int]:
    return [hit.metadata["turn"] for hit in found]


def brought(found: Recall) -> dict[int, list[int]]:
    """By the turn of each hit that was found, the turns that it brought."""
    by_id = {hit.id: hit.metadata["turn"] for hit in found}
    pairs: dict[int, list[int]] = {
        hit.metadata["turn"]: [] for hit in found if hit.expanded_from is None
    }
    for hit in found:
        if hit.expanded_from is not None:
            pairs[by_id[hit.expanded_from]].append(hit.metadata["turn"])
    return pairs


def test_no_expansion_by_default(talk: Memory) -> None:
    found = talk.recall("cedar", k=3, user_id="ana")
    assert len(found) == 3
    assert {hit.expanded_from for hit in found} == {None}
    assert found[0].to_dict()["expanded_from"] is None


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("apple", [0, 1]),
        ("cedar", [2, 1, 3]),
        ("elder", [4, 3, 5]),
        ("jasmin", [9, 8]),
    ],
)
def test_neighbors_are_the_ones_before_and_after(
    talk: Memory, word: str, expected: list[int]
) -> None:
    found = talk.recall(word, k=1, mode="lexical", expand="neighbors", user_id="ana")
    assert turns(found) == expected
    assert brought(found) == {expected[0]: expected[1:]}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("apple", [0, 1, 2, 3]),
        ("cedar", [2, 0, 1, 3]),
        ("grape", [6, 4, 5, 7, 8]),
        ("jasmin", [9]),
    ],
)
def test_an_episode_is_one_uninterrupted_conversation(
    talk: Memory, word: str, expected: list[int]
) -> None:
    found = talk.recall(word, k=1, mode="lexical", expand="episode", user_id="ana")
    assert turns(found) == expected
    assert brought(found) == {expected[0]: expected[1:]}


def test_k_counts_hits_without_expansions(talk: Memory) -> None:
    for k in range(1, 11):
        plain = talk.recall("cedar grape", k=k, user_id="ana")
        for expand in ("neighbors", "episode"):
            found = talk.recall("cedar grape", k=k, expand=expand, user_id="ana")  # type: ignore[arg-type]
            alone = [hit for hit in found if hit.expanded_from is None]
            assert [(hit.id, hit.score) for hit in alone] == [(hit.id, hit.score) for hit in plain]
            assert len({hit.id for hit in found}) == len(found)


def test_a_shared_neighbor_belongs_to_the_better_hit(talk: Memory) -> None:
    found = talk.recall("cedar elder", k=2, mode="lexical", expand="neighbors", user_id="ana")
    first, second = (hit.metadata["turn"] for hit in found if hit.expanded_from is None)
    assert {first, second} == {2, 4}
    assert brought(found)[first] == [first - 1, first + 1]
    assert brought(found)[second] == [(second - 1, second + 1)[first < second]]


def test_expansions_keep_their_search_score(talk: Memory) -> None:
    everything = {hit.id: hit for hit in talk.recall("cedar", k=10, user_id="ana")}
    for hit in talk.recall("cedar", k=2, expand="episode", user_id="ana"):
        assert (hit.score, hit.explain) == (everything[hit.id].score, everything[hit.id].explain)
    lexical = talk.recall("cedar", k=1, mode="lexical", expand="episode", user_id="ana")
    assert [hit.score for hit in lexical] == [1.0, 0.0, 0.0, 0.0]
    assert set(lexical[1].explain) == set(lexical[0].explain)
    assert set(lexical[1].explain.values()) == {0.0}


@pytest.mark.parametrize("expand", ["neighbors", "episode"])
@pytest.mark.parametrize(
    ("selection", "allowed"),
    [
        ({"where": {"name": "Ana"}}, range(0, 10, 2)),
        ({"where": {"turn": {"lt": 6}}}, range(6)),
        ({"since": NOON + timedelta(hours=1)}, range(4, 10)),
        ({"until": NOON + timedelta(hours=1)}, range(4)),
    ],
    ids=str,
)
def test_expansions_stay_inside_the_selection(
    talk: Memory, expand: Any, selection: dict[str, Any], allowed: Any
) -> None:
    for word in WORDS:
        found = talk.recall(word, k=1, expand=expand, user_id="ana", **selection)
        assert set(turns(found)) <= set(allowed)
        assert {hit.scope.user_id for hit in found} == {"ana"}


def test_a_filter_leaves_the_rest_of_the_episode(talk: Memory) -> None:
    found = talk.recall(
        "grape", k=1, mode="lexical", expand="episode", where={"name": "Ana"}, user_id="ana"
    )
    assert turns(found) == [6, 4, 8]


@pytest.mark.parametrize("expand", ["neighbors", "episode"])
def test_across_scopes_expansions_come_from_the_scope_of_the_hit(talk: Memory, expand: Any) -> None:
    for hit in talk.recall("tree", k=1, mode="lexical", expand=expand):
        assert hit.scope.user_id == "ana"
    handle = talk.scoped(user_id="bob")
    found = handle.recall("stranger", k=1, expand=expand)
    assert len(found) > 1
    assert {hit.scope.user_id for hit in found} == {"bob"}


def test_an_episode_expands_to_the_nearest_only(memory: Memory) -> None:
    def places() -> list[int]:
        first, *others = memory.recall("walrus", k=1, mode="lexical", expand="episode")
        return [other.id - first.id for other in others]

    texts = [f"number {n} {'walrus' if n == 14 else ''}" for n in range(episodes.MOST)]
    ids = memory.add(texts).ids
    half = MAX_FROM_EPISODE // 2
    assert places() == [*range(-half, 0), *range(1, half + 1)]
    memory.forget(ids[15:17])
    assert places() == [*range(-half, 0), *range(3, half + 3)]


def test_order_by_time_interleaves_hits_and_expansions(talk: Memory) -> None:
    found = talk.recall("grape cedar", k=2, expand="episode", order="time", user_id="ana")
    assert turns(found) == sorted(turns(found))
    assert sum(hit.expanded_from is None for hit in found) == 2
    assert len(found) > 2


def test_forget_and_update_leave_episodes_whole(talk: Memory) -> None:
    by_turn = {chunk.metadata["turn"]: chunk.id for chunk in talk.list(user_id="ana")}
    talk.forget([by_turn[1]])
    talk.update(by_turn[0], text="The apple tree is an oak")
    found = talk.recall("cedar", k=1, mode="lexical", expand="episode", user_id="ana")
    # The new text has a new id, the highest, and keeps its place.
    assert turns(found) == [2, 0, 3]
    assert found[1].text == "The apple tree is an oak"
    assert found[2].expanded_from == by_turn[2]


def test_scoped_and_async_memories_expand_too(place: Path, model: ModelBundle) -> None:
    async def run() -> list[str]:
        async with AsyncMemory(place, model=model) as memory:
            await memory.add(["The apple tree", "A birch", "A cedar"], user_id="ana")
            ana = memory.scoped(user_id="ana")
            found = await ana.recall(
                "tree", k=1, mode="lexical", expand="episode", order="time", now="2026-05-01"
            )
            return [hit.text for hit in found]

    assert asyncio.run(run()) == ["The apple tree", "A birch", "A cedar"]


def test_an_empty_recall_has_no_expansions(memory: Memory) -> None:
    for expand in ("neighbors", "episode"):
        assert len(memory.recall("anything", expand=expand)) == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("expand", ["all", "", 0, False, ["episode"]], ids=repr)
def test_an_unknown_expansion_is_refused(talk: Memory, expand: Any, unchanged: Unchanged) -> None:
    with unchanged(talk), pytest.raises(InputError, match="unknown expand .*None, 'episode'"):
        talk.recall("tree", expand=expand)
