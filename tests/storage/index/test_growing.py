"""The index of a store that grows: another takes its place, and no search notices."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agentmem_storage.index import IndexKind, building, factory
from agentmem_storage.index.exact import ExactIndex
from agentmem_storage.index.faiss import FaissIndex
from agentmem_storage.index.ivf import IvfIndex
from agentmem_storage.records import Ranked, Scope, Selection
from agentmem_storage.store import Store
from agentmem_storage.sync import growing, in_process
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_embedding, make_source

ANA = Scope("ana")
FROM = 60


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factory, "LISTS_FROM", FROM)
    monkeypatch.setattr(growing, "BUILD_AFTER", 2)
    # Two searches of small stores would build again and again.
    monkeypatch.setattr(building, "lists_for", lambda count: 8 if count < 1000 else 32)


def open_store(location: Path | str, index: IndexKind = "auto") -> Store:
    return Store.open(location, model=MODEL, embedding_dims=EMBEDDING_DIMS, index=index)


def fill(store: Store, count: int, first: int = 0, scope: Scope = ANA) -> list[int]:
    new = [make_source(f"memory {number}") for number in range(first, first + count)]
    return [written.chunk_ids[0] for written in store.add(new, scope)]


def index_of(store: Store) -> Any:
    return store._index._index


def search(store: Store, number: int = 7, selection: Selection | None = None) -> Ranked:
    return store.search_vectors(make_embedding(f"memory {number}"), 10, selection or Selection())


def wait(store: Store) -> None:
    """Until nothing is being built."""
    thread = store._index._growing._thread
    assert thread is not None
    thread.join(timeout=60)
    assert not thread.is_alive()


def grow(store: Store) -> None:
    search(store)
    search(store)
    wait(store)
    search(store)
    assert isinstance(index_of(store), IvfIndex)


def require_exact(store: Store) -> None:
    """What the store finds is what an exact index finds in the same rows."""
    ids = store.ids()
    exact = ExactIndex(EMBEDDING_DIMS)
    exact.add(ids, np.stack([one.embedding for one in store.chunks(ids)]))  # type: ignore[misc]
    for number in (3, 17, 45):
        found, expected = (
            search(store, number),
            exact.search(make_embedding(f"memory {number}"), 10),
        )
        assert found.ids.tolist() == expected.ids.tolist()
        assert found.scores.tolist() == expected.scores.tolist()


def test_a_large_store_gets_an_index_with_lists_after_some_searches(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_store(tmp_path) as store, caplog.at_level(logging.INFO):
        fill(store, FROM + 40)
        search(store)
        assert store._index._growing._thread is None
        before = search(store)
        wait(store)
        after = search(store)
        assert isinstance(index_of(store), IvfIndex)
        assert after.ids.tolist() == before.ids.tolist()
        assert after.scores.tolist() == before.scores.tolist()
        require_exact(store)
    assert f"with lists built from {FROM + 40} embeddings" in caplog.text


def test_a_small_store_keeps_its_own(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        fill(store, FROM - 1)
        for _ in range(5):
            search(store)
        assert store._index._growing._thread is None
        assert isinstance(index_of(store), ExactIndex)


def test_a_store_of_medium_size_is_in_faiss_until_it_outgrows_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(factory, "FAISS_FROM", FROM // 2)
    with open_store(tmp_path) as store:
        fill(store, FROM // 2)
        require_exact(store)
        assert isinstance(index_of(store), FaissIndex)
    with open_store(tmp_path) as store:
        require_exact(store)
        assert isinstance(index_of(store), FaissIndex)
        fill(store, FROM, first=FROM)
        grow(store)
        require_exact(store)


@pytest.mark.parametrize(("kind", "backend"), [("exact", ExactIndex), ("faiss", FaissIndex)])
def test_an_index_that_was_asked_for_is_not_replaced(
    tmp_path: Path, kind: IndexKind, backend: type
) -> None:
    with open_store(tmp_path) as store:
        fill(store, FROM + 10)
        grow(store)
    with open_store(tmp_path, kind) as store:
        for _ in range(4):
            search(store)
        store.rebuild_index()
        assert isinstance(index_of(store), backend)


def test_without_faiss_the_store_stays_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(tmp_path) as store:
        fill(store, FROM + 10)
        grow(store)
    monkeypatch.setitem(sys.modules, "faiss", None)
    for module in ("faiss", "ivf", "building"):
        monkeypatch.delitem(sys.modules, f"agentmem_storage.index.{module}")
    with open_store(tmp_path) as store:
        for _ in range(4):
            search(store)
        store.rebuild_index()
        assert isinstance(index_of(store), ExactIndex)


def test_what_changes_during_the_build_is_in_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go_on = threading.Event(), threading.Event()
    build = growing.build

    def slow(ids: NDArray[np.int64], read: Any, stopped: Any) -> Any:
        reading.set()
        assert go_on.wait(60)
        return build(ids, read, stopped)

    monkeypatch.setattr(growing, "build", slow)
    with open_store(tmp_path) as store, open_store(tmp_path) as other:
        ids = fill(store, FROM + 40)
        search(store)
        search(store)
        assert reading.wait(60)
        store.forget(ids[5:9], {id: f"memory {n}" for n, id in enumerate(ids)})
        fill(other, 20, first=500)
        search(store)
        assert isinstance(index_of(store), ExactIndex)
        go_on.set()
        wait(store)
        other.forget(ids[17:18], {ids[17]: "memory 17"})
        require_exact(store)
        assert isinstance(index_of(store), IvfIndex)
        fill(store, 3, first=600)
        require_exact(store)


def test_a_build_that_took_too_long_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with open_store(tmp_path) as store, caplog.at_level(logging.INFO):
        fill(store, FROM + 10)
        search(store)
        search(store)
        wait(store)
        monkeypatch.setattr(in_process.changes, "KEPT", 5)
        fill(store, 10, first=300)
        search(store)
        assert isinstance(index_of(store), ExactIndex)
        require_exact(store)
    assert "not used: the changes since are no longer logged" in caplog.text


def test_a_build_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("none left")

    monkeypatch.setattr(growing, "build", fail)
    with open_store(tmp_path) as store:
        fill(store, FROM + 10)
        search(store)
        search(store)
        wait(store)
        search(store)
        assert isinstance(index_of(store), ExactIndex)
        require_exact(store)
    assert "was not built: none left" in caplog.text


def test_closing_gives_up_a_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = threading.Event()

    def endless(ids: object, read: object, stopped: Any) -> None:
        started.set()
        while not stopped():
            pass

    monkeypatch.setattr(growing, "build", endless)
    with open_store(tmp_path) as store:
        fill(store, FROM + 10)
        search(store)
        search(store)
        assert started.wait(60)
        thread = store._index._growing._thread
    assert thread is not None
    assert not thread.is_alive()
    monkeypatch.undo()
    with open_store(tmp_path) as store:
        require_exact(store)


def test_the_next_process_reads_the_lists(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = tmp_path / "index" / "keys.cache"
    with open_store(tmp_path) as store:
        ids = fill(store, FROM + 40)
        grow(store)
        store._index.save()
        levels = index_of(store).levels(np.array(ids[:2])).tobytes()
        assert levels in cache.read_bytes()
        store.forget(ids[:2], {ids[0]: "memory 0", ids[1]: "memory 1"})
        assert levels[:EMBEDDING_DIMS] not in cache.read_bytes()
    with caplog.at_level(logging.INFO), open_store(tmp_path) as store:
        fill(store, 5, first=200)
        require_exact(store)
        assert isinstance(index_of(store), IvfIndex)
        assert store._index._growing._thread is None
    assert caplog.text == ""


def test_reindex_builds_lists_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(tmp_path) as store:
        fill(store, FROM + 40)
        # An exact index of a large store would take four times the memory.
        with monkeypatch.context() as patched:
            patched.delattr(in_process, "make_index")
            store.rebuild_index()
        assert isinstance(index_of(store), IvfIndex)
        require_exact(store)
    with open_store(tmp_path) as store:
        search(store)
        assert isinstance(index_of(store), IvfIndex)


def test_a_store_that_outgrows_its_lists_gets_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(tmp_path) as store:
        fill(store, FROM + 40)
        grow(store)
        assert len(index_of(store).centroids) == 8
        monkeypatch.setattr(building, "lists_for", lambda _: 16)
        grow(store)
        assert len(index_of(store).centroids) == 16
        require_exact(store)


def test_a_damaged_cache_is_made_again(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        fill(store, FROM + 40)
        grow(store)
    path = tmp_path / "index" / "keys.cache"
    data = bytearray(path.read_bytes())
    data[-30] ^= 1  # of what says which list each is in
    path.write_bytes(data)
    with open_store(tmp_path) as store:
        search(store)
        assert isinstance(index_of(store), ExactIndex)
        grow(store)
        require_exact(store)


def test_searches_of_many_threads_go_on_meanwhile(tmp_path: Path) -> None:
    wrong: list[object] = []
    with open_store(tmp_path) as store:
        ids = fill(store, FROM + 40)

        def ask() -> None:
            for _ in range(15):
                if search(store).ids[0] != ids[7]:
                    wrong.append("not found")

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for one in threads:
            one.start()
        fill(store, 30, first=300)
        for one in threads:
            one.join()
        wait(store)
        search(store)
        assert isinstance(index_of(store), IvfIndex)
        require_exact(store)
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_that_is_forked_during_a_build_makes_its_own(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        fill(store, FROM + 40)
        search(store)
        search(store)  # now one is being built
        context = multiprocessing.get_context("fork")
        answer = context.Queue()

        def child() -> None:
            for _ in range(2):
                search(store)
            grow(store)
            answer.put(search(store).ids.tolist())

        process = context.Process(target=child)
        process.start()
        assert answer.get(timeout=60) == search(store).ids.tolist()
        process.join()
        wait(store)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_that_is_killed_in_a_build_leaves_the_old_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(tmp_path) as store:
        fill(store, FROM + 40)
        search(store)
    cache = (tmp_path / "index" / "keys.cache").read_bytes()

    def killed(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def child() -> None:
        with open_store(tmp_path) as store:
            fill(store, 5, first=300)
            for _ in range(100):
                search(store)

    with monkeypatch.context() as patched:
        patched.setattr(growing, "build", killed)
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert (tmp_path / "index" / "keys.cache").read_bytes() == cache
    with open_store(tmp_path) as store:
        assert len(store.ids()) == FROM + 45
        require_exact(store)
        grow(store)
        require_exact(store)


def test_a_store_in_memory_grows_too() -> None:
    with open_store(":memory:") as store:
        fill(store, FROM + 40)
        grow(store)
        require_exact(store)
