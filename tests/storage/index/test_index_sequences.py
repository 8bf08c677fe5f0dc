"""Random sequences of changes: both backends agree with each other and with a dict."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agentmem_storage.index.exact import ExactIndex
from agentmem_storage.index.faiss import FaissIndex

POOL = np.random.default_rng(1).standard_normal((24, 5))
# Half of the pool is equal or nearly equal to the other half, so that ties are common.
POOL[12:18] = POOL[:6]
POOL[18:] = POOL[6:12] + 1e-7
POOL = (POOL / np.linalg.norm(POOL, axis=1, keepdims=True)).astype(np.float32)

IDS = st.one_of(st.integers(0, 60), st.just(2**62))
ID_LISTS = st.lists(IDS, max_size=12)
VECTOR = st.integers(0, len(POOL) - 1)


def array(ids: list[int]) -> np.ndarray:
    return np.array(ids, dtype=np.int64)


class TwoIndexes(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.exact, self.faiss = ExactIndex(5), FaissIndex(5)
        self.model: dict[int, int] = {}

    @rule(pairs=st.lists(st.tuples(IDS, VECTOR), max_size=12))
    def add(self, pairs: list[tuple[int, int]]) -> None:
        ids, rows = array([id for id, _ in pairs]), [row for _, row in pairs]
        self.exact.add(ids, POOL[rows])
        self.faiss.add(ids, POOL[rows])
        self.model.update(pairs)

    @rule(count=st.integers(1, 12), vector=VECTOR)
    def append(self, count: int, vector: int) -> None:
        first = max(self.model, default=0) + 1
        self.add([(first + i, (vector + i) % len(POOL)) for i in range(count)])

    @rule(ids=ID_LISTS)
    def remove(self, ids: list[int]) -> None:
        self.exact.remove(array(ids))
        self.faiss.remove(array(ids))
        for id in ids:
            self.model.pop(id, None)

    @rule(query=VECTOR, k=st.integers(1, 20), among=st.none() | ID_LISTS)
    def search(self, query: int, k: int, among: list[int] | None) -> None:
        chosen = None if among is None else np.unique(array(among))
        exact = self.exact.search(POOL[query], k, among=chosen)
        found = self.faiss.search(POOL[query], k, among=chosen)
        assert exact.ids.tolist() == found.ids.tolist()
        assert exact.scores.tolist() == found.scores.tolist()
        candidates = [id for id in self.model if among is None or id in among]
        scores = {
            id: float(POOL[self.model[id]].astype(np.float64) @ POOL[query].astype(np.float64))
            for id in candidates
        }
        expected = sorted(candidates, key=lambda id: (-np.float32(scores[id]), id))[:k]
        assert np.allclose(exact.scores, [scores[id] for id in expected], rtol=0, atol=1e-6)
        assert exact.ids.tolist() == expected

    @invariant()
    def same_content(self) -> None:
        ids = sorted(self.model)
        for index in (self.exact, self.faiss):
            assert len(index) == len(ids)
            assert index.ids().tolist() == ids
            assert np.array_equal(index.vectors(array(ids)), POOL[[self.model[id] for id in ids]])


TestTwoIndexes = TwoIndexes.TestCase
TestTwoIndexes.settings = settings(stateful_step_count=20)
