"""Scores of the lexical search beside a plain computation of them, in small and in large stores.

Large stores are small ones with lower limits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem_storage.records import EVERYTHING, Scope, Selection
from agentmem_storage.sql.lexical import phrases, terms
from agentmem_storage.sql.lexical.tokens import tokens_of
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source
from agentmem_storage.words import index_text, parse

ANA, BEN = Scope("ana"), Scope("ben")
# The first are common.
VOCABULARY = ["lamp", "lamp", "lamp", "river", "river", "stone", "cloud", "tulip", "anvil"]
TEXTS = st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=7).map(" ".join)
QUERIES = st.lists(st.sampled_from(sorted(set(VOCABULARY))), min_size=1, max_size=4).map(" ".join)


@contextmanager
def limits(leading: int, counted: int) -> Iterator[None]:
    with patch.object(terms, "MAX_LEADING", leading), patch.object(terms, "MAX_COUNTED", counted):
        yield


class Oracle:
    """All that the documentation of `terms` says, row by row."""

    def __init__(self, texts: Mapping[int, str], scope: Sequence[int], allowed: Sequence[int]):
        tokens = tokens_of(map(index_text, texts.values()))
        self._tokens = dict(zip(texts, tokens, strict=True))
        self._mean = sum(map(len, tokens)) / len(tokens)
        self._scope, self._allowed = scope, allowed

    def search(self, query: str, k: int) -> dict[int, float]:
        words = [*parse(query).certain]
        stems = dict(zip(words, tokens_of(words), strict=True))
        having = {one: self._having(stems[one], self._scope) for one in words}
        found = {one: self._having(stems[one], self._allowed) for one in words}
        idf = {
            one: math.log1p((len(self._scope) - len(ids) + 0.5) / (len(ids) + 0.5))
            for one, ids in having.items()
        }
        order = sorted(
            (one for one in words if found[one]),
            key=lambda one: (len(found[one]), -len(one), one),
        )
        if not order:
            return {}
        leading = order[:1]
        for number, one in enumerate(order[1:], start=2):
            if sum(len(found[other]) for other in order[:number]) <= terms.MAX_LEADING:
                leading.append(one)
        common = [
            one for one in order if one not in leading and len(having[one]) > terms.MAX_COUNTED
        ]
        candidates = set().union(*(found[one] for one in leading))
        if len(found[leading[0]]) > terms.MAX_COUNTED:
            weights = {
                id: sum(idf[one] for one in order[1:] if id in found[one])
                for id in found[leading[0]]
            }
            best = sorted((-weight, -id) for id, weight in weights.items() if weight)
            if len(best) >= k:
                candidates = {-id for _, id in best[: max(k, terms.MAX_LEADING)]}
        scores = {}
        for id in candidates:
            inside = [one for one in order if id in found[one]]
            exact = [one for one in inside if one not in common]
            bm25 = sum(idf[one] * self._frequency(stems[one], id) for one in exact)
            bm25 *= sum(idf[one] for one in inside) / sum(idf[one] for one in exact)
            share = sum(idf[one] for one in inside) / sum(idf.values())
            scores[id] = math.sqrt(bm25 * len(inside)) * share
        ranked = sorted(scores, key=lambda id: (-round(scores[id] ** 2, 9), id))
        return {id: scores[id] for id in ranked[:k]}

    def _having(self, stems: list[str], ids: Sequence[int]) -> list[int]:
        return [id for id in ids if self._times(stems, id)]

    def _times(self, stems: list[str], id: int) -> int:
        own = self._tokens[id]
        return sum(own[n : n + len(stems)] == stems for n in range(len(own)))

    def _frequency(self, stems: list[str], id: int) -> float:
        times, size = self._times(stems, id), len(self._tokens[id]) / self._mean
        return times * 2.2 / (times + 1.2 * (0.25 + 0.75 * size))


@given(
    st.lists(TEXTS, min_size=1, max_size=12),
    st.lists(TEXTS, min_size=0, max_size=12),
    st.lists(QUERIES, min_size=1, max_size=3),
    st.sampled_from([(1_000, 5_000), (3, 2), (1, 0), (2, 5)]),
    st.integers(1, 8),
    st.sampled_from([0, phrases._MASKED]),
)
def test_scores_are_what_is_documented(
    of_ana: list[str],
    of_ben: list[str],
    queries: list[str],
    limited: tuple[int, int],
    k: int,
    masked: int,
) -> None:
    with Store.open(":memory:", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        pairs = [(ANA, text) for text in dict.fromkeys(of_ana)]
        pairs += [(BEN, text) for text in dict.fromkeys(of_ben)]
        # In turns, so that the ids of a scope have gaps.
        pairs.sort(key=lambda pair: (len(pair[1]), pair[1]))
        written = store.add([make_source(text) for _, text in pairs], [one for one, _ in pairs])
        ids = sorted(one.chunk_ids[0] for one in written)
        texts = {one.chunk_ids[0]: text for one, (_, text) in zip(written, pairs, strict=True)}
        ana = sorted(w.chunk_ids[0] for w, (s, _) in zip(written, pairs, strict=True) if s == ANA)
        late = ids[len(ids) // 2 :]
        cases = [
            (EVERYTHING, ids, ids),
            (Selection(ANA), ana, ana),
            (Selection(ids=tuple(late)), ids, late),
            (Selection(ids=tuple(ids[::2])), ids, ids[::2]),
        ]
        with limits(*limited), patch.object(phrases, "_MASKED", masked):
            for selection, scope_ids, allowed in cases:
                oracle = Oracle(texts, scope_ids, allowed)
                for query in queries:
                    expected = oracle.search(query, k)
                    found = store.search_terms(query, k, selection)
                    assert found.ids.tolist() == list(expected)
                    assert found.scores.tolist() == pytest.approx(list(expected.values()), rel=1e-4)


def test_a_common_word_counts_as_often_as_the_others_of_a_chunk() -> None:
    with Store.open(":memory:", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        texts = ["tulip lamp", "tulip lamp lamp", "tulip river"]
        sources = [make_source(text) for text in [*texts, *(f"lamp {n}" for n in range(5))]]
        one, often, without, *_ = (w.chunk_ids[0] for w in store.add(sources, ANA))

        def scores() -> dict[int, float]:
            found = store.search_terms("tulip lamp", 10)
            return dict(zip(found.ids.tolist(), found.scores.tolist(), strict=True))

        with limits(3, 100):
            exact = scores()
        with limits(3, 5):
            fast = scores()
        assert list(exact) == list(fast) == [one, often, without]
        assert fast[without] == exact[without]
        assert fast[one] == pytest.approx(exact[one])  # both words once, so as often
        assert fast[often] < 0.99 * exact[often]


def test_of_many_with_the_rarest_word_those_are_found_that_have_most_of_the_others() -> None:
    with Store.open(":memory:", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        texts = ["tulip", "tulip lamp", "tulip lamp river", "tulip river", "tulip lamp"]
        texts += [f"lamp {n}" for n in range(7)] + [f"river {n}" for n in range(6)]
        scopes = [Scope(str(number)) for number in range(len(texts))]
        written = store.add([make_source(text) for text in texts], scopes)
        ids = [one.chunk_ids[0] for one in written][:5]

        def found(k: int) -> list[int]:
            return sorted(store.search_terms("tulip lamp river", k).ids.tolist())

        assert found(99)[:5] == ids
        with limits(2, 4):
            # River is rarer than lamp; of two with the same words, the newer one.
            assert found(1) == [ids[2]]
            assert found(2) == [ids[2], ids[3]]
            assert found(3) == [ids[2], ids[3], ids[4]]
            # What has none of the others comes where there are too few.
            assert found(5) == ids
