"""Whatever happens to a store and to its Milvus, it finds what an exact index finds."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentmem_storage.records import EVERYTHING, Scope, Selection
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_embedding, make_source
from tests.support.milvus import MilvusServer

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite")

ANA, BEN = Scope("ana"), Scope("ben")
QUERIES = [make_embedding(f"query {n}") for n in range(2)]
STEPS = st.one_of(
    # So that some texts are there several times.
    st.tuples(st.just("add"), st.integers(1, 30), st.integers(0, 60)),
    st.tuples(st.just("add beside"), st.integers(1, 30), st.integers(0, 60)),
    st.tuples(st.just("forget"), st.integers(1, 9), st.integers(0, 8)),
    st.tuples(st.just("forget beside"), st.integers(1, 9), st.integers(0, 8)),
    st.tuples(
        st.sampled_from(["replace", "reindex", "begin again", "step", "drop", "empty", "reopen"]),
        st.integers(1, 9),
        st.just(0),
    ),
)


def opened(location: Path, index: str) -> Store:
    return Store.open(location, model=MODEL, embedding_dims=EMBEDDING_DIMS, index=index)


def do(what: str, count: int, first: int, store: Store, exact: Store, milvus: MilvusServer) -> None:
    index: Any = store._index
    ids = exact.ids()
    writer = exact if what.endswith("beside") else store
    if what.startswith("add"):
        scope = BEN if count % 3 else ANA
        writer.add([make_source(f"memory {n}") for n in range(first, first + count)], scope)
    elif what.startswith("forget"):
        writer.forget(ids[first::count].tolist(), {})
    elif what == "replace":
        some = ids[::count].tolist()
        store.replace_embeddings({id: make_embedding(f"other {id} {count}") for id in some})
    elif what == "reindex":
        store.rebuild_index()
    elif what == "begin again":
        index._writer.begin_again()
    elif what == "step":
        index._writer.step()
    elif what in ("drop", "empty"):
        client = milvus.client()
        for name in client.list_collections():
            if store.store_id in name and what == "drop":
                client.drop_collection(name)
            elif store.store_id in name:
                client.load_collection(name)
                client.delete(name, filter=f"id < {2**62 if count % 2 else 2**63 - 1}")
        client.close()


def same(store: Store, exact: Store) -> None:
    for query in QUERIES:
        for selection in (EVERYTHING, Selection(ANA), Selection(BEN)):
            for k in (5, 1000):
                found = store.search_vectors(query, k, selection)
                right = exact.search_vectors(query, k, selection)
                np.testing.assert_array_equal(found.ids, right.ids)
                np.testing.assert_array_equal(found.scores, right.scores)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(STEPS, min_size=4, max_size=10))
def test_it_always_finds_the_same(milvus: MilvusServer, steps: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "store"
        store = opened(place, milvus.index)
        with opened(place, "exact") as exact:
            try:
                for what, count, first in steps:
                    if what == "reopen":
                        store.close()
                        store = opened(place, milvus.index)
                    else:
                        do(what, count, first, store, exact, milvus)
                    same(store, exact)
                store.load_index()
                assert sorted(milvus.rows(store.store_id)) == exact.ids().tolist()
            finally:
                store.close()
