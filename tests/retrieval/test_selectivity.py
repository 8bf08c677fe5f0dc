"""Vector search inside part of a store is exact, however small the part is.

Vectors lie in clusters, and the query in one of them: an index that searched first and filtered
afterwards would find nothing of the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from agentmem import Memory
from agentmem.models.bundle.load import ModelBundle
from agentmem_storage.index import IndexKind
from agentmem_storage.records import Scope, Selection
from agentmem_storage.sql.schema.codec import decode_embedding, encode_embedding
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, NOON, make_source

Vectors = NDArray[np.float32]

ROWS, CLUSTERS = 2_000, 50
TENANTS, EACH = 100, 100


def clustered(number: int, clusters: int, first: Vectors | None = None) -> tuple[Vectors, Vectors]:
    """Vectors (n, K) around centers (clusters, K), cluster by cluster; ``first`` is a center."""
    chance = np.random.default_rng(7)
    centers = chance.standard_normal((clusters, EMBEDDING_DIMS))
    if first is not None:
        centers[0] = first * np.sqrt(EMBEDDING_DIMS)
    spread = 0.2 * chance.standard_normal((number, EMBEDDING_DIMS))
    vectors = np.repeat(centers, number // clusters, axis=0) + spread
    return unit(vectors), unit(centers)


def unit(vectors: NDArray[np.float64]) -> Vectors:
    return cast(
        "Vectors", (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    )


def add(
    store: Store, vectors: Vectors, scope: Scope, fields: Sequence[dict[str, Any]]
) -> list[int]:
    """Write one memory of one chunk for each key; return their ids."""
    sources = []
    for number, (vector, own) in enumerate(zip(vectors, fields, strict=True)):
        source = make_source(f"memory {number}", **own)
        sources.append(replace(source, chunks=(replace(source.chunks[0], embedding=vector),)))
    return [written.chunk_ids[0] for written in store.add(sources, scope)]


def exact(ids: Sequence[int], vectors: Vectors, query: Vectors) -> list[int]:
    """Ids by falling cosine with the keys as they are stored, ties by id: every k at once."""
    stored = np.stack([decode_embedding(encode_embedding(vector), 0) for vector in vectors]).astype(
        np.float64
    )
    scores = (stored * query.astype(np.float64)).sum(axis=1).astype(np.float32)
    return [ids[place] for place in np.lexsort((ids, -scores))]


@pytest.fixture(scope="module", params=["exact", "faiss"])
def crowd(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Store, list[int], Vectors, Vectors]]:
    """A store of many rows, the ids and keys of these, and the clusters' centers."""
    vectors, centers = clustered(ROWS, CLUSTERS)
    kind: IndexKind = request.param
    place = tmp_path_factory.mktemp(kind)
    fields = [
        {
            "created_at": NOON + timedelta(hours=number),
            "name": "rare" if number % 500 == 499 else None,
            "metadata": {"number": number, "share": number % 100},
        }
        for number in range(ROWS)
    ]
    with Store.open(place, model=MODEL, embedding_dims=EMBEDDING_DIMS, index=kind) as store:
        yield store, add(store, vectors, Scope("ana"), fields), vectors, centers


def hours(number: int) -> str:
    return (NOON + timedelta(hours=number)).isoformat()


@pytest.mark.parametrize(
    ("where", "among"),
    [
        ({"share": 99}, range(99, ROWS, 100)),
        ({"number": {"gte": ROWS - 50}}, range(ROWS - 50, ROWS)),
        ({"created_at": {"gte": hours(ROWS - 50)}}, range(ROWS - 50, ROWS)),
        ({"or": [{"number": 1}, {"share": {"in": [99]}}]}, [1, *range(99, ROWS, 100)]),
        ({"name": "rare"}, range(499, ROWS, 500)),
        ({"name": {"exists": True}}, range(499, ROWS, 500)),
        ({"not": {"number": {"lt": ROWS - 5}}}, range(ROWS - 5, ROWS)),
        ({"number": {"in": [0, 1_000, ROWS - 1]}}, [0, 1_000, ROWS - 1]),
        ({"number": -1}, []),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_filter_finds_the_exact_best_at_every_k(
    crowd: tuple[Store, list[int], Vectors, Vectors], where: dict[str, Any], among: Sequence[int]
) -> None:
    """Selectivities of 2.5 % to 0.05 %, and nothing."""
    store, ids, vectors, centers = crowd
    inside = list(among)
    queries = (centers[0], centers[-1])
    own = [ids[row] for row in inside]
    best = [exact(own, vectors[inside], query) if inside else [] for query in queries]
    for k in range(1, len(inside) + 2):
        found = store.search_vectors(queries[k % 2], k, Selection(where=where))
        assert list(found.ids) == best[k % 2][:k]


@pytest.mark.parametrize("k", [1, 10, 500, ROWS])
def test_a_filter_that_lets_most_through_is_exact_too(
    crowd: tuple[Store, list[int], Vectors, Vectors], k: int
) -> None:
    store, ids, vectors, centers = crowd
    inside = [row for row in range(ROWS) if row % 100 < 60]
    best = exact([ids[row] for row in inside], vectors[inside], centers[3])
    found = store.search_vectors(centers[3], k, Selection(where={"share": {"lt": 60}}))
    assert list(found.ids) == best[:k]


QUERY = "the train to Lyon"


@pytest.fixture(scope="module")
def tenants(
    tmp_path_factory: pytest.TempPathFactory, model: ModelBundle
) -> Iterator[tuple[Memory, list[list[int]]]]:
    """100 scopes of 100 memories, a cluster of keys each, and the exact best of each scope."""
    query = model.embedder.embed_query(model.tokenizer.encode(QUERY))
    vectors, _ = clustered(TENANTS * EACH, TENANTS, first=query)
    place = tmp_path_factory.mktemp("tenants")
    best = []
    with Store.open(place, model=model.fingerprint, embedding_dims=model.embedder.dims) as store:
        for tenant in range(TENANTS):
            own = vectors[tenant * EACH : (tenant + 1) * EACH]
            ids = add(store, own, Scope(f"tenant{tenant}"), [{}] * EACH)
            best.append(exact(ids, own, query))
    with Memory(place, model=model) as memory:
        yield memory, best


def test_recall_inside_each_of_a_hundred_scopes_is_exact(
    tenants: tuple[Memory, list[list[int]]],
) -> None:
    memory, best = tenants
    for tenant in range(TENANTS):
        found = memory.recall(QUERY, k=EACH, mode="vector", user_id=f"tenant{tenant}")
        assert [hit.id for hit in found] == best[tenant]


@pytest.mark.parametrize("tenant", [0, 57])
def test_recall_inside_a_scope_is_exact_at_every_k(
    tenants: tuple[Memory, list[list[int]]], tenant: int
) -> None:
    memory, best = tenants
    handle = memory.scoped(user_id=f"tenant{tenant}")
    for k in range(1, EACH + 2):
        found = handle.recall(QUERY, k=k, mode="vector")
        assert [hit.id for hit in found] == best[tenant][:k]
