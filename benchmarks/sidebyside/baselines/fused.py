"""Reciprocal rank fusion of BM25 and dense search (Cormack, Clarke and Büttcher, 2009)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from benchmarks.sidebyside.baselines.bm25 import Bm25
from benchmarks.sidebyside.baselines.dense import Dense
from benchmarks.sidebyside.data import NumberedTurn

# The paper's constant.
_K = 60


class Fused:
    """Sums of 1 / (60 + rank) over both full rankings."""

    packages: ClassVar[tuple[str, ...]] = (*Bm25.packages, *Dense.packages)
    as_vectors: ClassVar[bool] = False

    def __init__(self, folder: Path) -> None:
        """Create both systems."""
        self._halves = (Bm25(folder), Dense(folder))
        self._count = 0

    def add(self, conversation: str, turns: Sequence[NumberedTurn]) -> None:
        """Add a conversation to both."""
        self._count += len(turns)
        for half in self._halves:
            half.add(conversation, turns)

    def search(self, question: str, k: int, *, conversation: str | None) -> list[int]:
        """The turns with the highest sums."""
        rankings = (
            half.search(question, self._count, conversation=conversation) for half in self._halves
        )
        return reciprocal_rank_fusion(rankings)[:k]

    def close(self) -> None:
        """Nothing is on disk."""


def reciprocal_rank_fusion(rankings: Iterable[Sequence[int]]) -> list[int]:
    """All numbers of some rankings, best first; ties are in the order of first appearance."""
    sums: defaultdict[int, float] = defaultdict(float)
    for ranked in rankings:
        for rank, number in enumerate(ranked, start=1):
            sums[number] += 1 / (_K + rank)
    return sorted(sums, key=lambda number: -sums[number])
