"""Stores with their embeddings in Milvus: the conformance suite, and the same as an exact index."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem_storage.records import EVERYTHING, ModelBinding, Scope, Selection, StagedChunk
from agentmem_storage.store import Store
from agentmem_storage.testing import (
    EMBEDDING_DIMS,
    MODEL,
    NOON,
    DurableStoreConformance,
    make_embedding,
    make_source,
)
from agentmem_storage.testing.postgres import PostgresServer
from tests.support.milvus import MilvusServer

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite")

ANA, BEN = Scope("ana"), Scope("ben", session_id="s")
QUERIES = [make_embedding(f"query {n}") for n in range(2)]


def opened(location: str | Path, index: str, **options: Any) -> Store:
    return Store.open(location, model=MODEL, embedding_dims=EMBEDDING_DIMS, index=index, **options)


@pytest.fixture
def store(milvus: MilvusServer, tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path, milvus.index) as store:
        yield store


def fill(store: Store, count: int, scope: Scope = ANA, first: int = 0) -> list[int]:
    new = [make_source(f"memory {n}") for n in range(first, first + count)]
    return [id for one in store.add(new, scope) for id in one.chunk_ids]


def forget(store: Store, ids: list[int]) -> bool:
    return store.forget(ids, {id: f"memory {id - 1}" for id in ids}).purged


def same(store: Store, exact: Store, k: int = 9) -> None:
    """Check that both find the same, everywhere and in parts."""
    at = NOON + timedelta(minutes=1)
    where = {"n": {"gte": 1}}
    for selection in (EVERYTHING, Selection(ANA), Selection(BEN), Selection(ANA, where=where)):
        for one in (selection, Selection(selection.scope, where=selection.where, since=at)):
            for query in QUERIES:
                found = store.search_vectors(query, k, one)
                right = exact.search_vectors(query, k, one)
                np.testing.assert_array_equal(found.ids, right.ids)
                np.testing.assert_array_equal(found.scores, right.scores)


class TestMilvus(DurableStoreConformance):
    @pytest.fixture(autouse=True)
    def _server(self, milvus: MilvusServer) -> None:
        self.open_options = {"index": milvus.index}

    def open_store(self, place: Path) -> Store:
        return opened(place / "store", self.open_options["index"])


@pytest.mark.parametrize("database", ["sqlite", "postgres", "file"])
def test_it_finds_what_an_exact_index_finds(
    database: str, milvus: MilvusServer, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    location, index = str(tmp_path / "store"), milvus.index
    if database == "postgres":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        location = postgres.url(tmp_path)
    elif database == "file":
        index = f"milvus+{tmp_path}/embeddings.db"
    with opened(location, index) as store, opened(location, "exact") as exact:
        same(store, exact)
        for part in range(4):
            for scope in (ANA, BEN):
                new = [
                    make_source(
                        # Some are the same in both scopes, and have the same scores.
                        f"memory {n} {scope.user_id if n % 3 else ''}",
                        created_at=NOON + timedelta(minutes=n % 5),
                        metadata={"n": n % 4},
                    )
                    for n in range(20 * part, 20 * part + 20)
                ]
                store.add(new, scope)
            same(store, exact)
            ids = store.ids()[part::7].tolist()
            chunks = store.chunks(ids)
            sources = {one.id: one for one in store.sources([one.source_id for one in chunks])}
            assert len(sources) == len(ids)
            store.forget(ids, {})
            same(store, exact)
        same(store, exact, k=1000)
        store.rebuild_index()
        same(store, exact)


def test_what_milvus_lacks_is_scored_by_the_rows(store: Store, milvus: MilvusServer) -> None:
    fill(store, 40)
    store.load_index()
    assert len(milvus.rows(store.store_id)) == 40
    (new,) = fill(store, 1, first=40)
    found = store.search_vectors(make_embedding("memory 40"), 1)
    assert found.ids.tolist() == [new]
    assert new not in milvus.rows(store.store_id)
    # A search that finds many missing has them written.
    fill(store, 7, first=41)
    store.search_vectors(QUERIES[0], 1)
    assert len(milvus.rows(store.store_id)) == 48


def test_many_additions_are_written_without_a_search(store: Store, milvus: MilvusServer) -> None:
    fill(store, 1)
    fill(store, 30, first=1)
    assert len(milvus.rows(store.store_id)) == 31


def test_what_is_forgotten_is_gone_from_milvus_too(store: Store, milvus: MilvusServer) -> None:
    ids = fill(store, 20)
    store.search_vectors(QUERIES[0], 1)
    held = milvus.rows(store.store_id)
    assert sorted(held) == ids
    assert len(set(held.values())) == 1
    # Milvus keeps files for a while, and this is said.
    assert not forget(store, ids[3:5])
    assert sorted(milvus.rows(store.store_id)) == ids[:3] + ids[5:]
    assert store._flag("unpurged") == 0


def test_purged_later_it_is_gone_later(milvus: MilvusServer, tmp_path: Path) -> None:
    with opened(tmp_path, milvus.index, purge="later") as store:
        ids = fill(store, 5)
        store.load_index()
        forget(store, ids[:1])
        assert sorted(milvus.rows(store.store_id)) == ids
        assert store.purge()
        assert sorted(milvus.rows(store.store_id)) == ids[1:]


@pytest.mark.parametrize("way", ["search", "purge", "forget"])
def test_forgotten_by_who_does_not_know_of_milvus(
    way: str, milvus: MilvusServer, tmp_path: Path
) -> None:
    with opened(tmp_path, milvus.index) as store:
        ids = fill(store, 20)
        store.load_index()
        with opened(tmp_path, "exact") as other:
            assert forget(other, ids[3:4])
        left = ids[:3] + ids[4:]
        assert sorted(milvus.rows(store.store_id)) == ids
        if way == "search":
            found = store.search_vectors(make_embedding("memory 3"), 20).ids
            assert sorted(found) == left
        elif way == "purge":
            assert store.purge()
        else:
            forget(store, left[:1])
            left = left[1:]
        assert sorted(milvus.rows(store.store_id)) == left


def test_a_replaced_embedding_is_replaced_in_milvus(store: Store, milvus: MilvusServer) -> None:
    ids = fill(store, 20)
    store.load_index()
    new = make_embedding("something else")
    store.replace_embeddings({ids[7]: new})
    found = store.search_vectors(new, 1)
    assert found.ids.tolist() == [ids[7]]
    assert found.scores[0] > 0.99
    assert sorted(milvus.rows(store.store_id)) == ids


def test_another_model_has_a_collection_of_its_own(milvus: MilvusServer, tmp_path: Path) -> None:
    target = ModelBinding("another", 2 * EMBEDDING_DIMS)
    with opened(tmp_path, milvus.index) as store:
        ids = fill(store, 20)
        store.load_index()
        wide = [np.concatenate((one, one)) / np.sqrt(2) for one in map(make_embedding, "abcde" * 4)]
        store.stage(
            target,
            [
                StagedChunk(id, vector.astype(np.float32))
                for id, vector in zip(ids, wide, strict=True)
            ],
        )
        assert not store.switch(target).left
        found = store.search_vectors(wide[2].astype(np.float32), 4)
        assert found.ids.tolist() == ids[2::5]
    client = milvus.client()
    assert len([name for name in client.list_collections() if store.store_id in name]) == 1
    client.close()


def test_a_damaged_embedding_hides_no_other(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    ids = fill(store, 30)
    with store._database.write() as connection:
        connection.exec_driver_sql("UPDATE chunks SET key = x'00' WHERE id = ?", (ids[2],))
    for _ in range(2):
        found = store.search_vectors(QUERIES[0], 99)
        assert sorted(found.ids) == ids[:2] + ids[3:]
        assert f"the embedding of memory {ids[2]}" in caplog.text


def test_a_store_that_was_set_back_is_another_history(milvus: MilvusServer, tmp_path: Path) -> None:
    with opened(tmp_path / "store", milvus.index) as store:
        fill(store, 10)
        store.backup(tmp_path / "copy")
        fill(store, 5, first=10)
        store.load_index()
    with (
        opened(tmp_path / "copy", milvus.index) as copy,
        opened(tmp_path / "copy", "exact") as exact,
    ):
        ids = fill(copy, 8, first=100)
        same(copy, exact)
        assert sorted(milvus.rows(copy.store_id)) == copy.ids().tolist()
        found = copy.search_vectors(make_embedding("memory 100"), 1)
        assert found.ids.tolist() == ids[:1]
