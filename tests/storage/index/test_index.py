"""The index inside a store: its cache file, catching up with other processes, and small scopes."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from agentmem_storage.index import IndexKind
from agentmem_storage.records import Ranked, Scope, Selection
from agentmem_storage.sql.schema import codec
from agentmem_storage.store import Store
from agentmem_storage.sync import in_process
from agentmem_storage.sync.in_process import SAVE_AFTER, IndexSync
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_embedding, make_source, terms_of

KINDS: tuple[IndexKind, ...] = ("exact", "faiss")
ANA = Scope("ana")
QUERY = make_embedding("memory 7")


def open_store(location: Path | str, index: IndexKind = "exact") -> Store:
    return Store.open(location, model=MODEL, embedding_dims=EMBEDDING_DIMS, index=index)


def fill(store: Store, count: int, scope: Scope = ANA, first: int = 0) -> list[int]:
    new = [make_source(f"memory {number}") for number in range(first, first + count)]
    return [written.chunk_ids[0] for written in store.add(new, scope)]


def require_same(one: Ranked, other: Ranked) -> None:
    np.testing.assert_array_equal(one.ids, other.ids)
    np.testing.assert_array_equal(one.scores, other.scores)


def cache_of(folder: Path) -> Path:
    return folder / "index" / "keys.cache"


@pytest.fixture
def searched(tmp_path: Path) -> Ranked:
    """A store with its cache file in ``tmp_path / "s"``; what it finds."""
    with open_store(tmp_path / "s") as store:
        fill(store, 40)
        found = store.search_vectors(QUERY, 10)
    assert cache_of(tmp_path / "s").exists()
    with open_store(tmp_path / "other") as store:
        fill(store, 40, first=100)
        store.search_vectors(QUERY, 10)
    return found


def _refuse(*_: object) -> None:
    raise AssertionError("the index was loaded again")


def test_an_index_that_was_loaded_ahead_is_not_loaded_by_the_first_search(
    tmp_path: Path, searched: Ranked, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(tmp_path / "s") as store:
        store.load_index()
        monkeypatch.setattr(IndexSync, "_load", _refuse)
        monkeypatch.setattr(IndexSync, "_rebuild", _refuse)
        require_same(store.search_vectors(QUERY, 10), searched)
        (added,) = fill(store, 1, first=500)
        assert added in store.search_vectors(make_embedding("memory 500"), 1).ids


def _delete(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _garble(path: Path) -> None:
    path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-50] ^= 1
    path.write_bytes(data)


def _swap(path: Path) -> None:
    shutil.copy(cache_of(path.parents[2] / "other"), path)


def _fill_with_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [_delete, _cut, _empty, _garble, _flip, _swap, _fill_with_a_folder]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_changes_no_result(
    tmp_path: Path,
    searched: Ranked,
    damage: object,
    kind: IndexKind,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert callable(damage)
    damage(cache_of(tmp_path / "s"))
    with (
        caplog.at_level(logging.INFO, "agentmem_storage"),
        open_store(tmp_path / "s", kind) as store,
    ):
        require_same(store.search_vectors(QUERY, 10), searched)
    assert "built from 40 embeddings" in caplog.text


def test_an_intact_cache_is_used(
    tmp_path: Path, searched: Ranked, caplog: pytest.LogCaptureFixture
) -> None:
    with open_store(tmp_path / "s") as store:
        more = fill(store, 5, first=40)  # Written without a search: the cache lags behind.
    with caplog.at_level(logging.INFO), open_store(tmp_path / "s", "faiss") as store:
        require_same(
            store.search_vectors(QUERY, 10, Selection(ids=tuple(range(1, more[0])))), searched
        )
        assert store.search_vectors(make_embedding("memory 44"), 1).ids[0] == more[-1]
    assert caplog.text == ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_put_back_from_a_backup_is_not_searched_with_a_newer_cache(
    tmp_path: Path, kind: IndexKind
) -> None:
    folder = tmp_path / "s"
    with open_store(folder, kind) as store:
        fill(store, 10)
    shutil.copy(folder / "memory.db", tmp_path / "backup.db")
    with open_store(folder, kind) as store:
        fill(store, 10, first=10)
        store.search_vectors(QUERY, 1)
    assert cache_of(folder).exists()
    shutil.copy(tmp_path / "backup.db", folder / "memory.db")
    with open_store(folder, kind) as store:
        # The same numbers of changes and the same ids as those in the cache, of other memories.
        ids = fill(store, 12, first=50)
        best = store.search_vectors(make_embedding("memory 55"), 1)
    assert list(best.ids) == [ids[5]]
    assert best.scores[0] > 0.99


def test_many_changes_are_saved_without_closing(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        fill(store, 10)
        store.search_vectors(QUERY, 1)
        assert not cache_of(tmp_path).exists()
        fill(store, SAVE_AFTER, first=10)
        store.search_vectors(QUERY, 1)
        assert cache_of(tmp_path).exists()


def test_a_large_index_is_not_written_after_each_purge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_process, "SMALL", 10)
    monkeypatch.setattr(in_process, "_SEARCHES_WITHOUT_FILE", 3)
    with open_store(tmp_path) as store:
        ids = fill(store, 20)
        store.search_vectors(QUERY, 1)
    with open_store(tmp_path) as store:
        store.search_vectors(QUERY, 1)
        assert cache_of(tmp_path).exists()
        for number, id in enumerate(ids[:2]):
            assert store.forget([id], {id: f"memory {number}"}).purged
            assert not cache_of(tmp_path).exists()
        for _ in range(3):
            assert not cache_of(tmp_path).exists()
            assert store.search_vectors(QUERY, 30).ids.tolist().count(ids[0]) == 0
        assert cache_of(tmp_path).exists()
        store.forget(ids[2:3], {ids[2]: "memory 2"})
        assert not cache_of(tmp_path).exists()
    assert cache_of(tmp_path).exists()


def test_a_store_that_never_searched_saves_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        fill(store, 3)
    assert not cache_of(tmp_path).exists()


def test_a_cache_that_cannot_be_saved_is_only_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(tmp_path)
    fill(store, 3)
    store.search_vectors(QUERY, 1)
    (tmp_path / "index").write_text("in the way")
    store.close()
    assert "vector index was not saved" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_two_stores_on_one_folder_follow_each_other(tmp_path: Path, kind: IndexKind) -> None:
    with open_store(tmp_path, kind) as one, open_store(tmp_path, kind) as two:
        first = fill(one, 3)
        assert sorted(two.search_vectors(QUERY, 9).ids) == first
        second = fill(two, 3, first=3)
        assert sorted(one.search_vectors(QUERY, 9).ids) == first + second
        one.forget(first[:1], {first[0]: "memory 0"})
        assert sorted(two.search_vectors(QUERY, 9).ids) == first[1:] + second


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_embedding_hides_no_other(
    tmp_path: Path, kind: IndexKind, caplog: pytest.LogCaptureFixture
) -> None:
    with open_store(tmp_path, kind) as store:
        ids = fill(store, 5)
        with store._database.write() as connection:
            connection.exec_driver_sql("UPDATE chunks SET key = x'00' WHERE id = ?", (ids[2],))
        found = store.search_vectors(QUERY, 9)
    assert sorted(found.ids) == [*ids[:2], *ids[3:]]
    assert f"the embedding of memory {ids[2]}" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_scope_is_searched_as_if_it_were_alone(tmp_path: Path, kind: IndexKind) -> None:
    sizes = {Scope("all"): 3000, Scope("hundredth"): 30, Scope("thousandth"): 3}
    with open_store(tmp_path, kind) as store:
        for number, (scope, size) in enumerate(sizes.items()):
            fill(store, size, scope, first=10_000 * number)
        for scope, size in sizes.items():
            selection = Selection(scope=scope)
            ids = store.ids(selection)
            with store._database.read() as connection:
                blobs = connection.exec_driver_sql(
                    "SELECT id, key FROM chunks WHERE id BETWEEN ? AND ? ORDER BY id",
                    (int(ids[0]), int(ids[-1])),
                ).all()
            keys = np.array([codec.decode_embedding(blob, one) for one, blob in blobs])
            order = np.lexsort((ids, -(keys.astype(np.float64) @ QUERY)))[:10]
            found = store.search_vectors(QUERY, 10, selection)
            np.testing.assert_array_equal(found.ids, ids[order])
            assert len(found.ids) == min(size, 10)


def test_one_search_sees_all_or_nothing_of_a_replaced_source(tmp_path: Path) -> None:
    old, new = make_source("old words"), make_source("new words")
    with open_store(tmp_path) as store:
        (written,) = store.add([old], Scope())
        store.search_vectors(QUERY, 1)
        changed = store.replace_source(written.source_id, new, terms_of(written, old))
        assert list(store.search_vectors(QUERY, 9).ids) == list(changed.chunk_ids)
