"""Episodes: where one ends and the next begins."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem_storage.episodes import GAP, MOST, SETTLED, Episode, assign
from agentmem_storage.errors import UnknownIdError
from agentmem_storage.records import NewSource, Scope
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, NOON, make_source, terms_of

Embedding = NDArray[np.float32]

MINUTE = 60_000_000  # in microseconds
HALF_AN_HOUR = GAP // timedelta(microseconds=1)
ANA = Scope("ana")
MINUTES = timedelta(minutes=1)


def near(topic: int, number: int = 0, spread: float = 0.1) -> Embedding:
    """The key of a chunk about a topic; those of one topic lie close together."""
    embedding = np.eye(EMBEDDING_DIMS)[topic]
    embedding = embedding + spread * np.random.default_rng(number).standard_normal(EMBEDDING_DIMS)
    return cast("Embedding", (embedding / np.linalg.norm(embedding)).astype(np.float32))


def embedded(text: str, embedding: Embedding, minute: float = 0.0) -> NewSource:
    """A message of one chunk with a key of its own, said so many minutes after noon."""
    source = make_source(text, created_at=NOON + minute * MINUTES)
    return replace(source, chunks=(replace(source.chunks[0], embedding=embedding),))


def add(store: Store, sources: Sequence[NewSource], scope: Scope = ANA) -> list[int]:
    return [one for written in store.add(sources, scope) for one in written.chunk_ids]


def groups(store: Store, ids: Sequence[int]) -> list[list[int]]:
    """The episodes of chunks, each as places in ``ids``, in the order of their first."""
    episodes = store.episodes(ids)
    found = dict.fromkeys(episodes[one] for one in ids)
    return [[ids.index(one) for one in episode if one in ids] for episode in found]


# ------------------------------------------------------------------ the rules


def test_one_topic_without_a_pause_is_one_episode() -> None:
    chunks = [(near(0, n), n * MINUTE) for n in range(10)]
    assert assign(None, chunks) == [1] * 10


def test_a_gap_in_time_begins_another() -> None:
    times = [0, HALF_AN_HOUR, 2 * HALF_AN_HOUR, 3 * HALF_AN_HOUR + 1, 3 * HALF_AN_HOUR]
    assert assign(None, [(near(0, n), said) for n, said in enumerate(times)]) == [1, 1, 1, 2, 2]


def test_a_leap_back_in_time_begins_another() -> None:
    """As when an old conversation is put in after a newer one."""
    times = [0, MINUTE, -HALF_AN_HOUR - 1, -HALF_AN_HOUR, 0, MINUTE]
    chunks = [(near(0, n), said) for n, said in enumerate(times)]
    assert assign(None, chunks) == [1, 1, 2, 2, 2, 2]


def test_another_topic_begins_another_once_there_are_enough_to_tell() -> None:
    before = [(near(0, n), 0) for n in range(SETTLED)]
    after = [(near(1, n), 0) for n in range(10, 13)]
    assert assign(None, [*before, *after]) == [1] * SETTLED + [2] * 3
    # Two chunks do not tell yet how wide their topic is.
    assert assign(None, [*before[: SETTLED - 1], *after[:1]]) == [1] * SETTLED


def test_how_near_a_chunk_must_be_depends_on_the_episode() -> None:
    """A cosine of 0.5 is far from chunks that are all alike, and usual among some that are not."""
    axes = np.eye(EMBEDDING_DIMS)
    unlike = [((axes[0] + axes[n]) / np.sqrt(2.0)).astype(np.float32) for n in range(1, 7)]
    alike = [near(0, spread=0.0)] * 5
    far = (0.5 * axes[0] + np.sqrt(0.75) * axes[1]).astype(np.float32)
    assert float(alike[0] @ far) == pytest.approx(float(unlike[0] @ unlike[1])) == 0.5
    assert assign(None, [(embedding, 0) for embedding in [*alike, far]]) == [1] * 5 + [2]
    assert assign(None, [(embedding, 0) for embedding in unlike]) == [1] * 6


def test_an_episode_holds_so_many_and_no_more() -> None:
    chunks = [(near(0, n), 0) for n in range(2 * MOST + 1)]
    assert assign(None, chunks) == [1] * MOST + [2] * MOST + [3]


def test_numbers_go_on_from_the_last() -> None:
    last = Episode.begin(7, near(0), 0)
    assert assign(last, [(near(0, 1), 0), (near(0, 2), 2 * HALF_AN_HOUR)]) == [7, 8]
    assert assign(last, []) == []


EMBEDDINGS = st.tuples(st.integers(0, 3), st.integers(0, 50)).map(
    lambda pair: near(*pair, spread=0.4)
)
STREAM = st.lists(st.tuples(EMBEDDINGS, st.integers(0, 4 * HALF_AN_HOUR)), min_size=1, max_size=60)


@given(stream=STREAM)
def test_numbers_are_taken_in_turn_and_times_hold_together(
    stream: list[tuple[Embedding, int]],
) -> None:
    numbers = assign(None, stream)
    assert numbers[0] == 1
    # What arrives late joins an earlier episode.
    assert list(dict.fromkeys(numbers)) == list(range(1, max(numbers) + 1))
    times = [time for _, time in stream]
    if times == sorted(times):
        assert all(after - before in (0, 1) for before, after in pairwise(numbers))
    for number in set(numbers):
        own = [said for (_, said), one in zip(stream, numbers, strict=True) if one == number]
        assert len(own) <= MOST
        assert all(after - before <= HALF_AN_HOUR for before, after in pairwise(sorted(own)))


# ------------------------------------------------------------------ the store


def test_episodes_are_of_one_scope_and_outlive_the_store(tmp_path: Path) -> None:
    with Store.open(tmp_path, model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        one = add(store, [embedded(f"a {n}", near(0, n), n) for n in range(4)])
        other = add(store, [embedded(f"b {n}", near(0, n), n) for n in range(2)], Scope("bob"))
        one += add(store, [embedded("a later", near(0, 9), 4)])
        one += add(store, [embedded("a much later", near(0, 8), 400)])
    with Store.open(tmp_path, model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        assert groups(store, one) == [[0, 1, 2, 3, 4], [5]]
        assert store.episodes(other) == dict.fromkeys(other, tuple(other))
        assert store.episodes([]) == {}
        with pytest.raises(UnknownIdError):
            store.episodes([999])
        one += add(store, [embedded("a much later still", near(0, 7), 401)])
        assert groups(store, one) == [[0, 1, 2, 3, 4], [5, 6]]


@given(
    stream=st.lists(st.tuples(EMBEDDINGS, st.integers(0, 90)), min_size=1, max_size=20),
    data=st.data(),
)
def test_one_write_or_many_make_the_same_episodes(
    stream: list[tuple[Embedding, int]], data: st.DataObject
) -> None:
    sources = [
        embedded(f"said {n}", embedding, minute) for n, (embedding, minute) in enumerate(stream)
    ]
    cuts = sorted(data.draw(st.sets(st.integers(0, len(sources)), max_size=4)))
    with Store.open(":memory:", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        whole = groups(store, add(store, sources))
    with Store.open(":memory:", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        ids = []
        for first, end in zip([0, *cuts], [*cuts, len(sources)], strict=True):
            ids += add(store, sources[first:end])
        assert groups(store, ids) == whole


def test_duplicates_change_nothing(tmp_path: Path) -> None:
    sources = [embedded(f"a {n}", near(0, n), n) for n in range(3)]
    with Store.open(tmp_path, model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        ids = add(store, sources)
        assert add(store, [*sources, embedded("new", near(0, 5), 3)])[:3] == ids
        assert groups(store, [int(one) for one in store.ids()]) == [[0, 1, 2, 3]]


def test_what_is_forgotten_is_in_no_episode(tmp_path: Path) -> None:
    sources = [embedded(f"a {n}", near(0, n), n) for n in range(4)]
    with Store.open(tmp_path, model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        written = store.add(sources, ANA)
        ids = [one.chunk_ids[0] for one in written]
        store.forget([ids[1]], terms_of(written[1], sources[1]))
        assert store.episodes([ids[0]]) == {ids[0]: (ids[0], ids[2], ids[3])}
        # When all of the last one is forgotten, the one before it goes on if time lets it.
        (later,) = store.add([embedded("later", near(0, 9), 400)], ANA)
        store.forget(later.chunk_ids, {later.chunk_ids[0]: "later"})
        (new,) = add(store, [embedded("soon", near(0, 8), 5)])
        assert store.episodes([new]) == {new: (ids[0], ids[2], ids[3], new)}


def test_another_content_stays_in_the_episode(tmp_path: Path) -> None:
    sources = [embedded(f"a {n}", near(0, n), 400 * (n // 2)) for n in range(4)]
    with Store.open(tmp_path, model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        written = store.add(sources, ANA)
        ids = [one.chunk_ids[0] for one in written]
        new = make_source("another text that takes two chunks, so long is it, by its characters")
        changed = store.replace_source(written[0].source_id, new, terms_of(written[0], sources[0]))
        assert len(changed.chunk_ids) == 2
        assert store.episodes([ids[1]])[ids[1]] == (*changed.chunk_ids, ids[1])
        # The newest episode is still the one that was begun last.
        (next_one,) = add(store, [embedded("next", near(0, 9), 401)])
        assert store.episodes([next_one])[next_one] == (ids[2], ids[3], next_one)


def test_a_damaged_embedding_does_not_stop_a_write(tmp_path: Path) -> None:
    with Store.open(tmp_path, model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        ids = add(store, [embedded(f"a {n}", near(0, n)) for n in range(5)])
    with closing(sqlite3.connect(tmp_path / "memory.db")) as connection, connection:
        connection.execute("UPDATE chunks SET key = zeroblob(20) WHERE id <> ?", (ids[1],))
        connection.execute("UPDATE chunks SET key = zeroblob(3) WHERE id = ?", (ids[0],))
    with Store.open(tmp_path, model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        (new,) = add(store, [embedded("b", near(1))])
        assert store.episodes([new])[new] == (*ids, new)
