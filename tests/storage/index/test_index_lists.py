"""The index of large stores: compared with the exact one, on vectors that have clusters."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from numpy.typing import NDArray

from agentmem_storage.index import CacheHeader, VectorIndex, cache, ivf, load_cache, save_cache
from agentmem_storage.index.base import Read
from agentmem_storage.index.building import build, lists_for
from agentmem_storage.index.exact import ExactIndex
from agentmem_storage.index.faiss import FaissIndex
from agentmem_storage.index.ivf import IvfIndex
from agentmem_storage.levels import from_levels, to_levels

DIMS, COUNT = 32, 6000
HEADER = CacheHeader(store_id="s", model="m", change=7, dims=DIMS)

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]


def stored(rows: NDArray[np.floating]) -> Vectors:
    """Unit vectors as a store keeps them."""
    return from_levels(to_levels(rows))


def clustered(count: int, seed: int) -> Vectors:
    """Topics of different sizes, and what is said of each, near to it."""
    random = np.random.default_rng(seed)
    topics = np.random.default_rng(1).standard_normal((200, DIMS))
    chosen = topics[(200 * random.random(count) ** 2).astype(int)]
    return stored(chosen + 0.5 * random.standard_normal((count, DIMS)))


VECTORS, QUERIES = clustered(COUNT, 2), clustered(60, 3)
IDS: Ids = np.arange(COUNT, dtype=np.int64) * 3 + 5


def exact_of(ids: Ids, vectors: Vectors) -> ExactIndex:
    index = ExactIndex(DIMS)
    index.add(ids, vectors)
    return index


def read_from(index: VectorIndex) -> Read:
    return lambda ids: (ids, index.levels(ids))


def built(ids: Ids = IDS, vectors: Vectors = VECTORS) -> IvfIndex:
    index = build(ids, read_from(exact_of(ids, vectors)))
    assert index is not None
    return index


@pytest.fixture
def _approximate(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the lists is scanned; those of a scope of a thousand, all."""
    monkeypatch.setattr(ivf, "PROBES", lists_for(COUNT) // 4)
    monkeypatch.setattr(ivf, "_SCORED", 0)
    monkeypatch.setattr(ivf, "_SCANNED", 1000)


@pytest.fixture(scope="module")
def both() -> tuple[IvfIndex, ExactIndex]:
    return built(), exact_of(IDS, VECTORS)


def recall(one: IvfIndex, exact: ExactIndex, k: int, among: Ids | None = None) -> float:
    found = [
        len(
            np.intersect1d(
                one.search(query, k, among=among).ids, exact.search(query, k, among=among).ids
            )
        )
        for query in QUERIES
    ]
    return float(np.mean(found)) / k


@pytest.mark.usefixtures("_approximate")
@pytest.mark.parametrize("share", [None, 0.5, 0.2, 0.1, 0.01])
def test_nearly_all_of_the_best_are_found(
    both: tuple[IvfIndex, ExactIndex], share: float | None
) -> None:
    random = np.random.default_rng(4)
    among = None if share is None else np.sort(random.choice(IDS, int(COUNT * share), False))
    assert recall(*both, 10, among) >= 0.99


@pytest.mark.slow
def test_nearly_all_of_the_best_of_many_are_found() -> None:
    """With the numbers that stores of this size have."""
    ids, vectors = np.arange(70_000, dtype=np.int64), clustered(70_000, 8)
    one, exact = built(ids, vectors), exact_of(ids, vectors)
    assert len(one.centroids) == 256
    random = np.random.default_rng(9)
    for share in (1.0, 0.5, 0.1, 0.01, 0.001):
        among = np.sort(random.choice(ids, int(70_000 * share), replace=False))
        chosen = None if share == 1.0 else among
        assert recall(one, exact, 10, chosen) >= 0.99, share
        assert recall(one, exact, 64, chosen) >= 0.99, share


@pytest.mark.usefixtures("_approximate")
def test_not_all_lists_are_scanned(both: tuple[IvfIndex, ExactIndex]) -> None:
    # Otherwise the test above would test nothing.
    assert recall(*both, 500) < 1.0


@pytest.mark.usefixtures("_approximate")
def test_scores_and_order_are_those_of_the_exact_index(both: tuple[IvfIndex, ExactIndex]) -> None:
    one, exact = both
    for query in QUERIES:
        found = one.search(query, 20)
        same = exact.search(query, 20, among=np.sort(found.ids))
        assert found.ids.tolist() == same.ids.tolist()
        assert found.scores.tolist() == same.scores.tolist()


@pytest.mark.parametrize("size", [1, 40, 3000])
def test_few_are_searched_exactly(both: tuple[IvfIndex, ExactIndex], size: int) -> None:
    one, exact = both
    among = np.sort(np.random.default_rng(5).choice(IDS, size, replace=False))
    for query in QUERIES[:20]:
        found, expected = (index.search(query, 8, among=among) for index in both)
        assert found.ids.tolist() == expected.ids.tolist()
        assert found.scores.tolist() == expected.scores.tolist()
    assert len(one.search(QUERIES[0], 5000, among=among).ids) == size


@pytest.mark.usefixtures("_approximate")
@pytest.mark.parametrize("k", [COUNT // 2, COUNT, 10 * COUNT])
def test_no_result_is_shorter_than_what_there_is(
    both: tuple[IvfIndex, ExactIndex], k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ivf, "PROBES", 1)
    found = both[0].search(QUERIES[0], k)
    assert len(np.unique(found.ids)) == min(k, COUNT)


def test_the_same_vectors_make_the_same_index() -> None:
    one, two = built(), built()
    assert one.centroids.tobytes() == two.centroids.tobytes()
    assert one.lists(IDS).tolist() == two.lists(IDS).tolist()
    assert len(one.centroids) == lists_for(COUNT) == 64


def test_a_centroid_has_nothing_of_what_was_removed() -> None:
    one = built()
    # An outlier, alone in its list or nearly.
    counts = np.bincount(one.lists(IDS))
    least = int(np.flatnonzero(counts == counts[counts > 0].min())[0])
    for gone in (IDS[one.lists(IDS) == least], IDS[:50]):
        touched = np.unique(one.lists(gone[np.isin(gone, one.ids())]))
        one.remove(gone)
        left = one.ids()
        for number in touched.tolist():
            members = one.vectors(left[one.lists(left) == number]).astype(np.float64)
            mean = members.sum(axis=0)
            expected = mean / max(float(np.linalg.norm(mean)), 1e-9)
            assert np.allclose(one.centroids[number], expected, atol=1e-6)
    assert not one.centroids[least].any()


def test_every_centroid_is_the_mean_of_its_list() -> None:
    one = built()
    for number in range(len(one.centroids)):
        mean = one.vectors(IDS[one.lists(IDS) == number]).astype(np.float64).sum(axis=0)
        assert np.allclose(one.centroids[number], mean / np.linalg.norm(mean), atol=1e-6)


def test_what_is_gone_when_it_is_read_is_left_out() -> None:
    exact = exact_of(IDS, VECTORS)

    def read(ids: Ids) -> tuple[Ids, NDArray[np.int8]]:
        there = ids[ids % 2 == 0]
        return there, exact.levels(there)

    index = build(IDS, read)
    assert index is not None
    assert index.ids().tolist() == IDS[IDS % 2 == 0].tolist()
    assert build(IDS, lambda ids: (ids[:0], np.empty((0, DIMS), np.int8))) is None


@pytest.mark.parametrize("steps", [0, 3, 10])
def test_a_build_that_is_stopped_makes_nothing(steps: int) -> None:
    left = iter([False] * steps)
    assert build(IDS, read_from(exact_of(IDS, VECTORS)), lambda: next(left, True)) is None


def test_the_number_of_lists_follows_the_size() -> None:
    assert [lists_for(10**power) for power in range(8)] == [1, 4, 8, 32, 128, 256, 1024, 4096]


SMALL = stored(np.random.default_rng(6).standard_normal((24, 5)))
SMALL[12:18] = SMALL[:6]
SMALL_IDS = st.one_of(st.integers(0, 60), st.just(2**62))


class Changes(RuleBasedStateMachine):
    """An index with lists, all of which are scanned, has what an exact one has."""

    @initialize()
    def start(self) -> None:
        self.exact = ExactIndex(5)
        self.exact.add(np.arange(24, dtype=np.int64), SMALL)
        index = build(self.exact.ids(), read_from(self.exact))
        assert index is not None
        self.index = index

    @rule(pairs=st.lists(st.tuples(SMALL_IDS, st.integers(0, 23)), max_size=12))
    def add(self, pairs: list[tuple[int, int]]) -> None:
        ids, rows = np.array([id for id, _ in pairs], dtype=np.int64), [row for _, row in pairs]
        self.exact.add(ids, SMALL[rows])
        self.index.add(ids, SMALL[rows])

    @rule(ids=st.lists(SMALL_IDS, max_size=12))
    def remove(self, ids: list[int]) -> None:
        self.exact.remove(np.array(ids, dtype=np.int64))
        self.index.remove(np.array(ids, dtype=np.int64))

    @rule(
        query=st.integers(0, 23),
        k=st.integers(1, 20),
        among=st.none() | st.lists(SMALL_IDS, max_size=12),
        scored=st.sampled_from([0, 2048]),
    )
    def search(self, query: int, k: int, among: list[int] | None, scored: int) -> None:
        chosen = None if among is None else np.unique(np.array(among, dtype=np.int64))
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(ivf, "_SCORED", scored)
            found = self.index.search(SMALL[query], k, among=chosen)
        exact = self.exact.search(SMALL[query], k, among=chosen)
        assert found.scores.tolist() == exact.scores.tolist()
        assert found.ids.tolist() == exact.ids.tolist()

    @invariant()
    def same_content(self) -> None:
        ids = self.exact.ids()
        assert len(self.index) == len(ids)
        assert self.index.ids().tolist() == ids.tolist()
        assert np.array_equal(self.index.vectors(ids), self.exact.vectors(ids))
        assert self.index.places >= len(ids)


TestChanges = Changes.TestCase
TestChanges.settings = settings(stateful_step_count=20)


def test_vectors_that_are_no_levels_are_rounded_to_them() -> None:
    rows = np.random.default_rng(7).standard_normal((50, DIMS))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    index, ids = built(), np.arange(50, dtype=np.int64)
    index.add(ids, rows)
    assert np.abs(index.vectors(ids) - rows).max() < 0.005
    assert index.search(rows[7], 1).ids.tolist() == [7]


def test_levels_of_what_was_stored_are_its_own() -> None:
    assert np.array_equal(from_levels(to_levels(VECTORS)), VECTORS)
    assert np.abs(to_levels(VECTORS)).max(axis=1).tolist() == [127] * COUNT


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, IvfIndex]:
    """A cache file of an index with lists, and the index."""
    index = built(IDS[:12], VECTORS[:12])
    save_cache(tmp_path / "keys", index, HEADER)
    return tmp_path / "keys", index


def load(path: Path, kind: Any = "auto") -> Any:
    loaded = load_cache(path, store_id="s", model="m", dims=DIMS, kind=kind)
    return None if loaded is None else loaded[0]


def test_lists_are_read_back(tmp_path: Path, both: tuple[IvfIndex, ExactIndex]) -> None:
    one = both[0]
    save_cache(tmp_path / "keys", one, HEADER)
    again = load(tmp_path / "keys")
    assert isinstance(again, IvfIndex)
    assert again.lists(IDS).tolist() == one.lists(IDS).tolist()
    for query in QUERIES:
        assert again.search(query, 10).ids.tolist() == one.search(query, 10).ids.tolist()
    save_cache(tmp_path / "again", again, HEADER)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "keys").read_bytes()


@pytest.mark.parametrize(("kind", "backend"), [("exact", ExactIndex), ("faiss", FaissIndex)])
def test_an_exact_index_reads_the_vectors_alone(
    small: tuple[Path, IvfIndex], kind: str, backend: type
) -> None:
    path, index = small
    again = load(path, kind)
    assert isinstance(again, backend)
    assert again.ids().tolist() == index.ids().tolist()
    assert np.array_equal(again.vectors(IDS[:12]), VECTORS[:12])


def test_every_truncation_and_every_changed_byte_is_no_cache(
    small: tuple[Path, IvfIndex],
) -> None:
    path, _ = small
    whole = path.read_bytes()
    assert load(path) is not None
    # What changes with lists is behind the header; the tests of the cache go through each place.
    for place in range(0, len(whole), 11):
        changed = bytearray(whole)
        changed[place] ^= 0x10
        for damaged in (whole[:place], bytes(changed)):
            path.write_bytes(damaged)
            assert load(path) is None, place


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("lists", 99, "names lists that it does not have"),
        ("lists", -1, "names lists that it does not have"),
        ("centroids", np.nan, "is not finite"),
        ("levels", 0, "is zero"),
        ("ids", 7, "do not ascend"),
    ],
)
def test_a_cache_with_right_checksums_and_wrong_content_is_no_cache(
    small: tuple[Path, IvfIndex],
    name: str,
    value: float,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path, index = small

    wrong = {
        "ids": np.full(12, 7, np.int64),
        "levels": index.levels(index.ids()),
        "lists": index.lists(index.ids()),
        "centroids": index.centroids,
    }
    wrong[name][3:4] = value
    with monkeypatch.context() as patched:
        if name in ("ids", "levels", "lists"):
            patched.setattr(index, name, lambda *_: wrong[name])
        if name == "ids":
            patched.setattr(index, "levels", lambda _: wrong["levels"])
            patched.setattr(index, "lists", lambda _: wrong["lists"])
        save_cache(path, index, HEADER)
    with caplog.at_level(logging.INFO, logger=cache.__name__):
        assert load(path) is None
    assert why in caplog.text
