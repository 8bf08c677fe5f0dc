"""The scores of rankings, by half and by what is asked for."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from agentmem.evaluation.metrics import ndcg_at_k, recall_at_k
from benchmarks.kinds.collection import HALVES, Kind, Question, questions_of

FIRST, TOP_3, BEFORE_DISTRACTORS = "first", "top 3", "before distractors"


def scores(kind: Kind, rankings: Sequence[Sequence[int]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Means by half, and in it by category; ``all`` is the whole half.

    Args:
        kind: What was asked.
        rankings: Indices of items, best first, one ranking for each question.

    Returns:
        For each category ``first`` (the first hit is evidence), ``top 3`` (one of the first three
        is), ``recall@5``, ``recall@10``, ``ndcg@10``, ``before distractors`` (some evidence is
        above all distractors; only where there are any) and the number of ``questions``.
    """
    rows: dict[str, dict[str, list[dict[str, float]]]] = {
        half: defaultdict(list) for half in HALVES
    }
    for (_, question), ranked in zip(questions_of(kind), rankings, strict=True):
        row = _scores(question, ranked)
        for category in ("all", *([question.category] if question.category else [])):
            rows[question.half][category].append(row)
    return {
        half: {category: _means(of) for category, of in found.items()}
        for half, found in rows.items()
    }


def _scores(question: Question, ranked: Sequence[int]) -> dict[str, float]:
    evidence = question.evidence
    row = {
        FIRST: float(any(index in evidence for index in ranked[:1])),
        TOP_3: float(any(index in evidence for index in ranked[:3])),
        "recall@5": recall_at_k(ranked, evidence, 5),
        "recall@10": recall_at_k(ranked, evidence, 10),
        "ndcg@10": ndcg_at_k(ranked, evidence, 10),
    }
    if question.distractors:
        best = min(_rank(ranked, index) for index in evidence)
        distractor = min(_rank(ranked, index) for index in question.distractors)
        row[BEFORE_DISTRACTORS] = float(best < distractor)
    return row


def _rank(ranked: Sequence[int], item: int) -> int:
    return ranked.index(item) if item in ranked else len(ranked)


def _means(rows: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Means; a score that some questions do not have is the mean of the others."""
    names = dict.fromkeys(name for row in rows for name in row)
    means: dict[str, Any] = {}
    for name in names:
        values = [row[name] for row in rows if name in row]
        means[name] = math.fsum(values) / len(values)
    return {**means, "questions": len(rows)}
