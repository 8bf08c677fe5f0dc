"""Ranking metrics (recall, NDCG, MRR) and latency percentiles.

A ranking is a list of ids, best first. A repeated id counts at its first rank only; its repetitions
still take up ranks, since a reader of the list has seen them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence

import numpy as np

RECALL_AT = (1, 5, 10, 20, 50)
NDCG_AT = 10


def recall_at_k(ranked: Sequence[Hashable], relevant: Collection[Hashable], k: int) -> float:
    """Share of the relevant ids among the first k.

    Raises:
        ValueError: ``relevant`` is empty, or k is below 1.
    """
    wanted = _wanted(relevant, k)
    return len(wanted.intersection(ranked[:k])) / len(wanted)


def ndcg_at_k(ranked: Sequence[Hashable], relevant: Collection[Hashable], k: int) -> float:
    """Gains discounted by log2(rank + 1), normalized by those of the ideal ranking.

    Args:
        ranked: Ids, best first.
        relevant: The relevant ids; a mapping gives each its gain, above 0, otherwise all gain 1.
        k: How many ranks count.

    Raises:
        ValueError: ``relevant`` is empty, or k is below 1.
    """
    wanted = _wanted(relevant, k)
    missing = dict(relevant) if isinstance(relevant, Mapping) else dict.fromkeys(wanted, 1.0)
    ideal = sorted(missing.values(), reverse=True)[:k]
    best = math.fsum(gain * _discount(rank) for rank, gain in enumerate(ideal, start=1))
    gains = [missing.pop(id, 0.0) * _discount(rank) for rank, id in enumerate(ranked[:k], start=1)]
    return math.fsum(gains) / best


def reciprocal_rank(ranked: Sequence[Hashable], relevant: Collection[Hashable]) -> float:
    """1 / rank of the first relevant id, 0 if there is none.

    Raises:
        ValueError: ``relevant`` is empty.
    """
    wanted = _wanted(relevant, 1)
    return next((1.0 / rank for rank, id in enumerate(ranked, start=1) if id in wanted), 0.0)


def ranking_scores(ranked: Sequence[Hashable], relevant: Collection[Hashable]) -> dict[str, float]:
    """All metrics of one question, named as in result files.

    ``recall@1`` to ``recall@50``, ``ndcg@10``, and ``mrr``, the reciprocal rank. ``relevant`` may
    give gains, see `ndcg_at_k`; the others count every relevant id once.

    Raises:
        ValueError: ``relevant`` is empty.
    """
    scores = {f"recall@{k}": recall_at_k(ranked, relevant, k) for k in RECALL_AT}
    scores[f"ndcg@{NDCG_AT}"] = ndcg_at_k(ranked, relevant, NDCG_AT)
    scores["mrr"] = reciprocal_rank(ranked, relevant)
    return scores


def mean_scores(questions: Sequence[Mapping[str, float]]) -> dict[str, float | int]:
    """Unweighted means over questions, and their number as ``questions``.

    Raises:
        ValueError: There is no question.
    """
    if not questions:
        raise ValueError("no question to take a mean over")
    means: dict[str, float | int] = {
        name: math.fsum(scores[name] for scores in questions) / len(questions)
        for name in questions[0]
    }
    means["questions"] = len(questions)
    return means


def latency_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile (``p50``, ``p95``) in milliseconds, linear between samples.

    Raises:
        ValueError: There is no sample.
    """
    if not seconds:
        raise ValueError("no latency to take a percentile of")
    p50, p95 = np.percentile(np.asarray(seconds, dtype=np.float64) * 1e3, (50, 95))
    return {"p50": float(p50), "p95": float(p95)}


def _wanted(relevant: Collection[Hashable], k: int) -> frozenset[Hashable]:
    if k < 1:
        raise ValueError(f"k must be 1 or more, got {k!r}")
    if not relevant:
        raise ValueError("no relevant id: leave questions without evidence out")
    return frozenset(relevant)


def _discount(rank: int) -> float:
    return 1.0 / math.log2(rank + 1)
