"""A snapshot sees one state of the store, whatever others write meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem_storage.errors import UnknownIdError
from agentmem_storage.records import EVERYTHING, Scope, Selection
from agentmem_storage.snapshot import Snapshot
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, make_embedding, make_source

ANA, BEN = Scope(user_id="ana"), Scope(user_id="ben")


@pytest.fixture(params=["faiss", "exact"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    # A forget waits for open snapshots, and here one of them waits for it.
    with opened(tmp_path / "store", request.param, timeout_s=0.2) as store:
        store.add([make_source(f"old {n}", metadata={"n": n}) for n in range(6)], ANA)
        yield store


def opened(place: Path, index: Any, **options: Any) -> Store:
    return Store.open(place, model="m", embedding_dims=EMBEDDING_DIMS, index=index, **options)


def meanwhile(work: Callable[[], object]) -> None:
    """Do something in another thread, to its end."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_what_is_added_meanwhile_is_not_seen(store: Store) -> None:
    def write() -> None:
        store.add([make_source(f"new {n}") for n in range(20)], ANA)
        # The index, which all threads share, is now ahead of the snapshot.
        assert len(store.search_vectors(make_embedding("new 3"), 99).ids) == 26

    def read(one: Snapshot) -> None:
        assert one.count() == 6
        meanwhile(write)
        for selection in (EVERYTHING, Selection(scope=ANA), Selection(where={"n": {"gte": 0}})):
            assert sorted(one.search_vectors(make_embedding("new 3"), 9, selection).ids) == old
            assert sorted(one.search_terms("old", 9, selection).ids) == old
            assert len(one.search_terms("new", 9, selection).ids) == 0
            assert one.ids(selection).tolist() == old
            assert one.count(selection) == 6
        assert one.neighbors([old[-1]]).sides == {old[-1]: ((old[-2],), ())}
        with pytest.raises(UnknownIdError):
            one.chunks([old[-1] + 1])

    old = store.ids().tolist()
    store.snapshot(read)
    assert store.count() == 26
    assert len(store.search_vectors(make_embedding("new 3"), 99).ids) == 26


def test_what_is_forgotten_meanwhile_is_still_seen(store: Store) -> None:
    def read(one: Snapshot) -> None:
        assert one.count() == 6
        meanwhile(lambda: store.forget(old[:3], {}))
        assert one.ids(Selection(scope=ANA)).tolist() == old
        assert [chunk.id for chunk in one.chunks(old)] == old
        assert [record.id for _, record in one.chunks_with_sources(old)] == sources
        assert len(one.latents(old)) == len(one.said(old)) == 6

    old = store.ids().tolist()
    sources = [chunk.source_id for chunk in store.chunks(old)]
    store.snapshot(read)
    assert store.ids().tolist() == old[3:]


def test_a_snapshot_that_began_before_the_index_was_made(store: Store) -> None:
    """The index is made by whoever searches first, even of an older state."""

    def read(one: Snapshot) -> list[int]:
        assert one.count() == 6
        meanwhile(lambda: store.add([make_source("new")], BEN))
        found: list[int] = one.search_vectors(make_embedding("new"), 9).ids.tolist()
        return sorted(found)

    old = store.ids().tolist()
    assert store.snapshot(read) == old
    assert len(store.search_vectors(make_embedding("new"), 9).ids) == 7


def test_the_same_as_single_reads(store: Store) -> None:
    store.add([make_source("of ben and old", metadata={"n": 1})], BEN)
    ids = store.ids().tolist()
    query = make_embedding("old 3")
    selections = [
        EVERYTHING,
        Selection(scope=ANA),
        Selection(where={"n": {"lt": 3}}),
        Selection(scope=BEN, ids=tuple(ids)),
        Selection(scope=Scope(user_id="nobody")),
    ]

    def read(one: Snapshot) -> list[object]:
        found: list[object] = [one.neighbors(ids, 2), one.episodes(ids), one.latents(ids)]
        for selection in selections:
            found += [one.ids(selection).tolist(), one.count(selection)]
            for ranked in (
                one.search_vectors(query, 4, selection),
                one.search_terms("old ben", 4, selection),
            ):
                found += [ranked.ids.tolist(), ranked.scores.tolist()]
            found.append(one.word_matches("old ben", ids, selection.scope))
        return found

    # The store has the same methods, each of which reads a snapshot of its own.
    assert store.snapshot(read) == read(store)  # type: ignore[arg-type]


def test_filters_that_python_calls_equal(store: Store) -> None:
    store.add([make_source("yes", metadata={"n": True})], BEN)

    def read(one: Snapshot) -> list[int]:
        return [one.count(Selection(where={"n": value})) for value in (1, True, 1.0)]

    assert store.snapshot(read) == [1, 1, 1]
    (number,), (truth,) = (store.ids(Selection(where={"n": n})).tolist() for n in (1, True))
    assert number != truth
    found = store.snapshot(
        lambda one: [one.ids(Selection(where={"n": n})).tolist() for n in (1, True)]
    )
    assert found == [[number], [truth]]


def test_cosines_are_those_of_the_search(store: Store) -> None:
    ids = store.ids().tolist()
    query = make_embedding("old 3")
    searched = store.search_vectors(query, 99)
    asked = store.snapshot(lambda one: one.cosines(query, ids[::-1]))
    assert asked.ids.tolist() == searched.ids.tolist()
    assert asked.scores.tolist() == searched.scores.tolist()
    assert len(store.snapshot(lambda one: one.cosines(query, [])).ids) == 0


def test_chunks_come_with_their_sources(store: Store) -> None:
    ids = store.ids().tolist()[::-1]
    both = store.snapshot(lambda one: one.chunks_with_sources(ids))
    for (chunk, source), alone in zip(both, store.chunks(ids), strict=True):
        (same,) = store.sources([chunk.source_id])
        assert (chunk.id, source) == (alone.id, same)
        assert np.array_equal(chunk.embedding, alone.embedding)  # type: ignore[arg-type]


def test_an_error_ends_the_transaction(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        store.snapshot(lambda one: one.count() / 0)
    store.add([make_source("life goes on")], ANA)
    assert store.forget(store.ids().tolist()[:1], {}).purged


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_iterating_includes_what_is_added_meanwhile(store: Store, batch_size: int) -> None:
    selection = Selection(scope=ANA)
    steps = store.iterate(selection, batch_size)
    seen = [chunk.id for chunk in next(steps)]
    store.add([make_source("new")], ANA)
    store.add([make_source("of another")], BEN)
    gone = store.ids(selection).tolist()[5]
    store.forget([gone], {})
    seen += [chunk.id for part in steps for chunk in part]
    expected = store.ids(selection).tolist()
    assert [id for id in seen if id != gone] == expected
    assert (gone in seen) is (batch_size == 100)


def test_iterating_skips_what_no_longer_matches(store: Store) -> None:
    steps = store.iterate(Selection(where={"n": {"lt": 4}}), 2)
    seen = [chunk.source_id for chunk in next(steps)]
    sources = [chunk.source_id for chunk in store.chunks(store.ids())]
    store.update_source(sources[3], metadata={"n": 9})
    seen += [chunk.source_id for part in steps for chunk in part]
    assert seen == sources[:3]


def test_threads_search_beside_each_other(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    query = make_embedding("old 3")
    expected = store.search_vectors(query, 9).ids.tolist()
    kind = type(store._index._index)
    unhindered = kind.search
    both = threading.Barrier(2, timeout=60)

    def together(*args: Any, **kwargs: Any) -> Any:
        both.wait()  # broken, if the other cannot come here at the same time
        return unhindered(*args, **kwargs)

    monkeypatch.setattr(kind, "search", together)
    found: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: found.append(store.search_vectors(query, 9).ids.tolist()))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected, expected]


@pytest.mark.parametrize("index", ["faiss", "exact"])
def test_searches_while_others_write(tmp_path: Path, index: str) -> None:
    """Whatever a search finds is whole: a chunk that exists, with its own score."""
    with opened(tmp_path / "store", index) as store:
        store.add([make_source(f"old {n}") for n in range(6)], ANA)
        search_and_write(store)


def search_and_write(store: Store) -> None:
    query = make_embedding("old 3")
    (best,) = store.search_vectors(query, 1).ids.tolist()
    done = threading.Event()
    errors: list[BaseException] = []

    def search() -> None:
        try:
            while not done.is_set():
                assert store.search_vectors(query, 1).ids.tolist() == [best]
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for n in range(8):
        store.add([make_source(f"more {n}")], BEN)
        store.forget([max(store.ids().tolist())], {})
    done.set()
    for thread in threads:
        thread.join()
    assert errors == []
