"""Every index backend, compared with a few lines of float64 numpy."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from agentmem_storage.errors import MissingExtraError
from agentmem_storage.index import VectorIndex, make_index
from agentmem_storage.index.exact import ExactIndex
from agentmem_storage.index.factory import FAISS_FROM
from agentmem_storage.index.faiss import FaissIndex

BACKENDS: dict[str, Callable[[int], VectorIndex]] = {"exact": ExactIndex, "faiss": FaissIndex}

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]


@pytest.fixture(params=sorted(BACKENDS))
def make(request: pytest.FixtureRequest) -> Callable[[int], VectorIndex]:
    return BACKENDS[request.param]


def unit(rows: NDArray[np.floating]) -> Vectors:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def random_vectors(n: int, dims: int, seed: int = 0) -> Vectors:
    return unit(np.random.default_rng(seed).standard_normal((n, dims)))


def ids_of(*ids: int) -> Ids:
    return np.array(ids, dtype=np.int64)


def oracle(ids: Ids, vectors: Vectors, query: Vectors, k: int) -> tuple[Ids, Vectors]:
    scores = np.array(
        [np.dot(vector, query.astype(np.float64)) for vector in vectors.astype(np.float64)]
    )
    best = sorted(range(len(ids)), key=lambda row: (-np.float32(scores[row]), ids[row]))[:k]
    return ids[best], scores[best].astype(np.float32)


def test_scores_are_cosines_and_the_nearest_comes_first(make: Callable[[int], VectorIndex]) -> None:
    index = make(2)
    index.add(ids_of(1, 2, 3), np.array([[0, 1], [1, 0], [-1, 0]], dtype=np.float32))
    found = index.search(np.array([1, 0], dtype=np.float32), 3)
    assert found.ids.tolist() == [2, 1, 3]
    assert found.scores.tolist() == [1.0, 0.0, -1.0]
    assert (found.ids.dtype, found.scores.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize("share", [1.0, 0.3, 0.01, 0.001], ids=["100%", "30%", "1%", "0.1%"])
@pytest.mark.parametrize("k", [1, 10, 100])
def test_any_selectivity_finds_what_is_there(
    make: Callable[[int], VectorIndex], share: float, k: int
) -> None:
    rng = np.random.default_rng(3)
    ids, vectors = np.arange(10, 10_010, dtype=np.int64), random_vectors(10_000, 24)
    index = make(24)
    index.add(ids, vectors)
    rows = np.sort(rng.choice(ids.size, int(ids.size * share), replace=False))
    query = random_vectors(1, 24, seed=4)[0]
    found = index.search(query, k, among=ids[rows])
    expected_ids, expected_scores = oracle(ids[rows], vectors[rows], query, k)
    assert found.ids.tolist() == expected_ids.tolist()
    assert np.array_equal(found.scores, expected_scores)


@pytest.mark.parametrize("k", [1, 7, 60, 500])
def test_tight_clusters_and_many_equal_vectors(make: Callable[[int], VectorIndex], k: int) -> None:
    rng = np.random.default_rng(5)
    centers = random_vectors(8, 16, seed=6)
    near = unit(centers[rng.integers(0, 8, 3000)] + 1e-4 * rng.standard_normal((3000, 16)))
    vectors = np.concatenate((near, np.repeat(centers, 400, axis=0)))
    ids = rng.permutation(vectors.shape[0]).astype(np.int64)
    index = make(16)
    index.add(ids, vectors)
    expected_ids, expected_scores = oracle(ids, vectors, centers[2], k)
    found = index.search(centers[2], k)
    assert found.ids.tolist() == expected_ids.tolist()
    assert np.array_equal(found.scores, expected_scores)
    # And with a filter that leaves too many for a scan.
    kept = np.sort(ids[ids % 7 != 0])
    rows = np.flatnonzero(ids % 7 != 0)
    expected_ids, _ = oracle(ids[rows], vectors[rows], centers[2], k)
    assert index.search(centers[2], k, among=kept).ids.tolist() == expected_ids.tolist()


def test_ties_go_by_ascending_id_across_the_last_place(make: Callable[[int], VectorIndex]) -> None:
    index = make(3)
    vector = random_vectors(1, 3)
    for id in (9, 4, 7, 1, 8):
        index.add(ids_of(id), vector)
    assert index.search(vector[0], 3).ids.tolist() == [1, 4, 7]


def test_k_beyond_the_candidates_returns_them_all(make: Callable[[int], VectorIndex]) -> None:
    index = make(4)
    index.add(np.arange(5, dtype=np.int64), random_vectors(5, 4))
    query = random_vectors(1, 4, seed=1)[0]
    assert sorted(index.search(query, 1000).ids.tolist()) == [0, 1, 2, 3, 4]
    assert sorted(index.search(query, 1000, among=ids_of(1, 3)).ids.tolist()) == [1, 3]


def test_nothing_to_find_is_an_empty_result(make: Callable[[int], VectorIndex]) -> None:
    index, query = make(4), random_vectors(1, 4)[0]
    assert index.search(query, 3).ids.shape == (0,)
    index.add(ids_of(2), random_vectors(1, 4))
    for among in (ids_of(), ids_of(-1, 1, 3)):
        found = index.search(query, 3, among=among)
        assert (found.ids.shape, found.scores.shape) == ((0,), (0,))
        assert (found.ids.dtype, found.scores.dtype) == (np.int64, np.float32)


def test_unknown_ids_among_the_candidates_are_ignored(make: Callable[[int], VectorIndex]) -> None:
    index, vectors = make(8), random_vectors(6000, 8)
    ids = np.arange(0, 12_000, 2, dtype=np.int64)
    index.add(ids, vectors)
    among = np.arange(-1, 12_000, dtype=np.int64)
    query = random_vectors(1, 8, seed=2)[0]
    assert index.search(query, 5, among=among).ids.tolist() == index.search(query, 5).ids.tolist()


def test_of_an_id_given_twice_the_last_vector_stays(make: Callable[[int], VectorIndex]) -> None:
    index, vectors = make(4), random_vectors(3, 4)
    index.add(ids_of(5, 6, 5), vectors)
    assert len(index) == 2
    assert np.array_equal(index.vectors(ids_of(6, 5)), vectors[[1, 2]])


def test_unknown_ids_have_no_vectors(make: Callable[[int], VectorIndex]) -> None:
    index = make(4)
    index.add(ids_of(5), random_vectors(1, 4))
    with pytest.raises(KeyError, match="no vector with id 6"):
        index.vectors(ids_of(5, 6))


def test_results_do_not_change_with_the_index(make: Callable[[int], VectorIndex]) -> None:
    index, vectors = make(4), random_vectors(2, 4)
    index.add(ids_of(1), vectors[:1])
    ids, copy, found = index.ids(), index.vectors(ids_of(1)), index.search(vectors[0], 1)
    index.add(ids_of(1), vectors[1:])
    index.remove(ids_of(1))
    assert ids.tolist() == found.ids.tolist() == [1]
    assert np.array_equal(copy, vectors[:1])


GOOD = random_vectors(2, 4)
BAD_ADDS = {
    "negative id": (ids_of(-1, 1), GOOD, ValueError, "negative, got -1"),
    "ids not int64": (np.array([1, 2], dtype=np.int32), GOOD, TypeError, "dtype int32"),
    "ids no array": ([1, 2], GOOD, TypeError, "got list"),
    "ids with two axes": (ids_of(1, 2)[:, None], GOOD, ValueError, r"shape \(n,\)"),
    "more ids than keys": (ids_of(1, 2, 3), GOOD, ValueError, r"shape \(3, 4\)"),
    "wrong dims": (ids_of(1, 2), random_vectors(2, 5), ValueError, r"got \(2, 5\)"),
    "keys not float32": (ids_of(1, 2), GOOD.astype(np.float64), TypeError, "dtype float64"),
    "nan": (ids_of(1, 2), GOOD * np.array([[1], [np.nan]], np.float32), ValueError, "row 1"),
    "infinity": (ids_of(1, 2), GOOD * np.float32(np.inf), ValueError, "must be finite"),
    "norm overflows": (ids_of(1, 2), GOOD * np.float32(1e30), ValueError, "norm inf"),
    "zero key": (ids_of(1, 2), GOOD * np.float32(0), ValueError, r"norm 0\.0"),
}


@pytest.mark.parametrize("case", sorted(BAD_ADDS))
def test_bad_vectors_are_rejected_and_change_nothing(
    make: Callable[[int], VectorIndex], case: str
) -> None:
    ids, vectors, error, message = BAD_ADDS[case]
    index = make(4)
    index.add(ids_of(1), GOOD[:1])
    with pytest.raises(error, match=message):
        index.add(ids, vectors)
    assert index.ids().tolist() == [1]
    assert np.array_equal(index.vectors(ids_of(1)), GOOD[:1])


def test_bad_queries_are_refused(make: Callable[[int], VectorIndex]) -> None:
    index, query = make(4), GOOD[0]
    index.add(ids_of(1, 2), GOOD)
    for k in (0, -1):
        with pytest.raises(ValueError, match=f"k must be 1 or more, got {k}"):
            index.search(query, k)
    with pytest.raises(ValueError, match=r"shape \(4,\)"):
        index.search(GOOD, 1)
    with pytest.raises(ValueError, match="norm"):
        index.search(query * np.float32(2), 1)
    with pytest.raises(ValueError, match="finite"):
        index.search(np.full(4, np.nan, dtype=np.float32), 1)
    with pytest.raises(ValueError, match="strictly ascending"):
        index.search(query, 1, among=ids_of(2, 1))
    with pytest.raises(ValueError, match="strictly ascending"):
        index.search(query, 1, among=ids_of(1, 1))
    with pytest.raises(TypeError, match="among must be an int64 array"):
        index.search(query, 1, among=np.array([1.0]))  # type: ignore[arg-type]


def test_an_index_needs_dims(make: Callable[[int], VectorIndex]) -> None:
    with pytest.raises(ValueError, match="dims must be 1 or more, got 0"):
        make(0)


def test_kinds() -> None:
    assert isinstance(make_index(4), ExactIndex)
    assert isinstance(make_index(4, count=FAISS_FROM - 1), ExactIndex)
    assert isinstance(make_index(4, count=FAISS_FROM), FaissIndex)
    assert isinstance(make_index(4, "faiss"), FaissIndex)
    assert isinstance(make_index(4, "exact", FAISS_FROM), ExactIndex)
    with pytest.raises(ValueError, match="got 'hnsw'"):
        make_index(4, "hnsw")  # type: ignore[arg-type]


def test_without_faiss_auto_is_exact_and_faiss_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)  # What Python does for "cannot be imported".
    monkeypatch.delitem(sys.modules, "agentmem_storage.index.faiss")
    assert isinstance(make_index(4, count=FAISS_FROM), ExactIndex)
    with pytest.raises(MissingExtraError, match=r"pip install 'latent-agentmem\[cpu\]'") as raised:
        make_index(4, "faiss")
    assert raised.value.extra == "cpu"
