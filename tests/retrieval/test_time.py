"""Times in recall: the temporal prior, ``now=``, and ``order="time"``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from agentmem import Hit, Memory, Message
from agentmem.errors import InputError
from agentmem.retrieval.fusion import LEAST_TIMELY, Weights, fuse

Unchanged = Callable[[Memory], AbstractContextManager[None]]

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NOW = NOON + 19 * DAY
CUPS = "abcdefghijklmnopqrst"


@pytest.fixture
def diary(memory: Memory) -> Memory:
    """A line a day for twenty days, to 20 May, all alike, in an order that is not that of time."""
    memory.add(
        Message(
            f"Today I drank tea, cup {CUPS[number]}.",
            created_at=NOON + number * DAY,
            metadata={"day": number + 1, "odd": number % 2 == 0},
        )
        for number in [*range(10, 20), *range(10)]
    )
    return memory


TOP = Weights().top + Weights().time


def days(hits: Any) -> list[int]:
    return [hit.metadata["day"] for hit in hits]


def then(hits: Any) -> list[Hit]:
    """Those that were said in the time that the query names."""
    return [hit for hit in hits if hit.explain["time"] >= LEAST_TIMELY]


@pytest.mark.parametrize(
    ("query", "inside"),
    [
        ("a cup yesterday", [19]),
        ("what did I drink two days ago?", [18]),
        ("tea on 3 May", [3]),
        ("tea on 3 May 2026", [3]),
        ("tea last week", range(11, 18)),
        ("tea before 4 May 2026", range(1, 4)),
        ("tea last May", []),
        ("tea in 2019", []),
    ],
)
def test_memories_of_that_time_score_higher(diary: Memory, query: str, inside: Any) -> None:
    found = diary.recall(query, k=20, now=NOW, rerank=None)
    assert set(days(then(found))) == set(inside)
    times = {hit.explain["time"] for hit in found} - {0.0}
    assert not times or (min(times) >= LEAST_TIMELY and max(times) <= 1.0)
    # All are found, whenever they were said.
    assert len(found) == 20
    weights = Weights()
    ids = [hit.id for hit in found]
    plain = sorted(found, key=lambda hit: weights.time * hit.explain["time"] - hit.score * TOP)
    ranks = {hit.id: rank for rank, hit in enumerate(plain)}
    assert all(ids.index(hit.id) <= ranks[hit.id] for hit in then(found))
    assert not inside or any(ids.index(hit.id) < ranks[hit.id] for hit in then(found))


def test_the_parts_explain_the_score(diary: Memory) -> None:
    weights = Weights()
    for hit in diary.recall("tea yesterday", k=20, now=NOW, rerank=None):
        own = weights.lexical * hit.explain["lexical"] + weights.vector * hit.explain["vector"]
        whole = own + weights.neighbor * hit.explain["neighbors"]
        whole += weights.length * hit.explain["length"]
        whole += weights.time * hit.explain["time"]
        assert hit.score == pytest.approx(whole / TOP)
        assert 0.0 <= hit.score <= 1.0


def test_a_query_that_names_no_time_has_no_prior(diary: Memory) -> None:
    found = diary.recall("tea, cup g", k=20, now=NOW)
    assert {hit.explain["time"] for hit in found} == {0.0}
    again = diary.recall("tea, cup g", k=20)
    assert [(hit.id, hit.score) for hit in again] == [(hit.id, hit.score) for hit in found]


def test_the_prior_boosts_and_excludes_nothing() -> None:
    """The best match stays above what merely was said then."""
    scored = fuse({1: 1.0, 2: 0.1}, {1: 1.0, 2: 0.1}, {}, Weights(), turns={}, in_interval={2, 3})
    assert [item.id for item in scored] == [1, 2]
    # Neither a key nor words alone outweigh the time.
    scored = fuse({1: 1.0, 2: 0.0}, {}, {}, Weights(), turns={}, in_interval={2})
    assert [item.id for item in scored] == [2, 1]
    scored = fuse({}, {1: 1.0, 2: 0.0}, {}, Weights(), turns={}, in_interval={2})
    assert [item.id for item in scored] == [2, 1]


@pytest.mark.parametrize("mode", ["vector", "lexical"])
def test_single_modes_have_no_prior(diary: Memory, mode: Any) -> None:
    found = diary.recall("tea yesterday", k=20, now=NOW, mode=mode)
    assert {hit.explain["time"] for hit in found} == {0.0}


def test_memories_of_that_time_are_found_behind_any_number_of_better_matches(
    memory: Memory,
) -> None:
    """It need not be among the best of all by words or by meaning."""
    memory.add([f"What was it on {a}{b}?" for a in CUPS for b in CUPS[:10]], created_at=NOON)
    (one,) = memory.add("Then we swam.", created_at=NOON + 15 * DAY).ids
    query = "What was it on 16 May 2026?"
    assert one not in {hit.id for hit in memory.recall(query, k=100, mode="vector")}
    assert memory.recall(query, k=1, rerank=None)[0].id == one


def test_filters_and_times_hold_beside_the_prior(diary: Memory) -> None:
    found = diary.recall("tea last week", k=20, now=NOW, where={"odd": True})
    assert set(days(found)) == set(range(1, 21, 2))
    assert set(days(then(found))) == {11, 13, 15, 17}
    found = diary.recall("tea last week", k=20, now=NOW, since="2026-05-15", until="2026-05-20")
    assert set(days(found)) == set(range(15, 20))
    assert set(days(then(found))) == {15, 16, 17}
    outside = diary.recall("tea yesterday", k=20, now=NOW, until="2026-05-10")
    assert {hit.explain["time"] for hit in outside} == {0.0}
    assert set(days(outside)) == set(range(1, 10))


def test_now_may_be_given_in_any_form(diary: Memory) -> None:
    forms: list[Any] = [NOW, NOW.isoformat(), "2026-05-20", datetime(2026, 5, 20), NOW.timestamp()]
    for now in forms:
        assert days(then(diary.recall("tea yesterday", k=20, now=now))) == [19]
    # It is the 20th already where the day began ten hours earlier.
    early = datetime(2026, 5, 20, 1, tzinfo=timezone(timedelta(hours=10)))
    assert days(then(diary.recall("tea yesterday", k=20, now=early))) == [19]
    assert days(then(diary.recall("tea yesterday", k=20, now=early.astimezone(UTC)))) == [18]


def test_now_is_the_present_by_default(memory: Memory) -> None:
    memory.add("tea long ago", created_at=NOON)
    memory.add("tea", created_at=datetime.now(UTC) - timedelta(hours=1))
    found = memory.recall("tea in the past 2 days", rerank=None)
    assert {hit.text: hit.explain["time"] > 0 for hit in found} == {
        "tea": True,
        "tea long ago": False,
    }


@pytest.mark.parametrize("now", ["yesterday", True, [2026], 1e30], ids=repr)
def test_an_unreadable_now_is_refused(diary: Memory, now: Any, unchanged: Unchanged) -> None:
    with unchanged(diary), pytest.raises(InputError, match="now"):
        diary.recall("tea", now=now)


@pytest.mark.parametrize("query", ["tea, cup g", "tea last week"])
def test_the_order_of_time_is_that_of_the_same_hits(diary: Memory, query: str) -> None:
    best = diary.recall(query, k=6, now=NOW)
    assert [hit.score for hit in best] == sorted((hit.score for hit in best), reverse=True)
    by_time = diary.recall(query, k=6, now=NOW, order="time")
    assert days(by_time) == sorted(days(best))

    def parts(hit: Hit) -> tuple[int, float]:
        return hit.id, hit.score

    assert sorted(map(parts, by_time)) == sorted(map(parts, best))


def test_packing_takes_the_best_whatever_the_order(diary: Memory) -> None:
    best = diary.recall("tea, cup g", k=9).pack(max_positions=6)
    by_time = diary.recall("tea, cup g", k=9, order="time").pack(max_positions=6)
    assert len(best.hits) < 9
    assert days(by_time.hits) == days(best.hits)


def test_equal_times_are_ordered_by_id(memory: Memory) -> None:
    memory.add([f"tea {number}" for number in range(9)], created_at=NOON)
    ids = [hit.id for hit in memory.recall("tea 5", order="time")]
    assert ids == sorted(ids)


def test_an_unknown_order_is_refused(diary: Memory) -> None:
    with pytest.raises(InputError, match="unknown order 'age': one of 'relevance', 'time'"):
        diary.recall("tea", order="age")  # type: ignore[arg-type]
