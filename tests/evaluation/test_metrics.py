"""Ranking metrics: values computed by hand, and a slow reference implementation."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
from hypothesis import given

from agentmem.evaluation.metrics import (
    latency_ms,
    mean_scores,
    ndcg_at_k,
    ranking_scores,
    recall_at_k,
    reciprocal_rank,
)

IDS = st.integers(0, 12)


def test_by_hand() -> None:
    ranked, relevant = ["a", "b", "c", "d"], {"b", "d", "z"}
    assert recall_at_k(ranked, relevant, 1) == 0
    assert recall_at_k(ranked, relevant, 2) == pytest.approx(1 / 3)
    assert recall_at_k(ranked, relevant, 10) == pytest.approx(2 / 3)
    assert reciprocal_rank(ranked, relevant) == 0.5
    # Gains at ranks 2 and 4: 0.63093 + 0.43068; best are ranks 1, 2, 3: 1 + 0.63093 + 0.5.
    assert ndcg_at_k(ranked, relevant, 10) == pytest.approx(1.06161 / 2.13093, abs=1e-5)
    # With k = 2 only rank 2 counts, and the best possible fills ranks 1 and 2.
    assert ndcg_at_k(ranked, relevant, 2) == pytest.approx(0.63093 / 1.63093, abs=1e-5)


def test_extremes() -> None:
    assert ranking_scores(["a"], ["a"]) == {
        "recall@1": 1,
        "recall@5": 1,
        "recall@10": 1,
        "recall@20": 1,
        "recall@50": 1,
        "ndcg@10": 1,
        "mrr": 1,
    }
    assert set(ranking_scores([], ["a"]).values()) == {0}


def test_an_id_that_comes_again_gains_nothing_more_but_keeps_its_place() -> None:
    assert ndcg_at_k(["a", "a", "b"], ["a", "b"], 3) == pytest.approx(1.5 / 1.63093, abs=1e-5)
    assert recall_at_k(["a", "a", "b"], ["a", "b"], 2) == 0.5


def test_gains_weigh_what_is_found() -> None:
    gains = {"a": 2.0, "b": 1.0}
    # As trec_eval counts: 1 at rank 1 and 2 at rank 2; best is 2 and then 1.
    assert ndcg_at_k(["b", "a"], gains, 10) == pytest.approx((1 + 2 * 0.63093) / (2 + 0.63093))
    assert ndcg_at_k(["a", "b"], gains, 10) == 1
    assert ndcg_at_k(["b"], gains, 1) == 0.5
    assert ndcg_at_k(["b", "a"], dict.fromkeys(gains, 3.0), 10) == 1
    assert ranking_scores(["b"], gains)["recall@1"] == 0.5


@given(st.lists(IDS, max_size=10), st.sets(IDS, min_size=1), st.integers(1, 12))
def test_against_a_slow_count(ranked: list[int], relevant: set[int], k: int) -> None:
    first = [i for i, id in enumerate(ranked) if id in relevant and id not in ranked[:i]]
    hits = [i for i in first if i < k]
    assert recall_at_k(ranked, relevant, k) == pytest.approx(len(hits) / len(relevant))
    assert reciprocal_rank(ranked, relevant) == (1 / (first[0] + 1) if first else 0)
    gain = sum(math.log(2) / math.log(i + 2) for i in hits)
    best = sum(math.log(2) / math.log(i + 2) for i in range(min(k, len(relevant))))
    assert ndcg_at_k(ranked, relevant, k) == pytest.approx(gain / best)


def test_means_count_each_question_once() -> None:
    one, two = ranking_scores(["a"], ["a"]), ranking_scores(["x", "a"], ["a", "b", "c", "d"])
    means = mean_scores([one, two])
    assert means["questions"] == 2
    assert means["recall@5"] == pytest.approx((1 + 0.25) / 2)
    assert means["mrr"] == 0.75
    assert list(means) == [*one, "questions"]


def test_percentiles_lie_between_samples() -> None:
    assert latency_ms([0.004, 0.001, 0.002, 0.003]) == {
        "p50": pytest.approx(2.5),
        "p95": pytest.approx(3.85),
    }
    assert latency_ms([0.01]) == {"p50": pytest.approx(10), "p95": pytest.approx(10)}


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ValueError, match="k must be 1 or more, got 0"):
        recall_at_k(["a"], ["a"], 0)
    with pytest.raises(ValueError, match="k must be 1 or more, got -1"):
        ndcg_at_k(["a"], ["a"], -1)
    for score in (reciprocal_rank, ranking_scores):
        with pytest.raises(ValueError, match="no relevant id"):
            score(["a"], [])
    with pytest.raises(ValueError, match="no question"):
        mean_scores([])
    with pytest.raises(ValueError, match="no latency"):
        latency_ms([])
