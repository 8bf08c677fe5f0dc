"""The baselines' rankings: BM25, all-MiniLM-L6-v2, and their rank fusion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agentmem.evaluation.conversations import Turn
from benchmarks.kinds.collection import Collection, Kind, questions_of
from benchmarks.sidebyside.baselines.bm25 import Bm25
from benchmarks.sidebyside.baselines.dense import Dense
from benchmarks.sidebyside.baselines.fused import reciprocal_rank_fusion
from benchmarks.sidebyside.data import NumberedTurn
from benchmarks.sidebyside.system import System

BM25, MINILM, FUSION = "BM25", "all-MiniLM-L6-v2", "rank fusion"
BASELINES = (BM25, MINILM, FUSION)


def baseline_rankings(kind: Kind, names: Sequence[str], folder: Path) -> dict[str, list[list[int]]]:
    """Every named baseline's whole ranking of the items, for each question.

    Args:
        kind: What is added and asked.
        names: Some of `BASELINES`.
        folder: An empty folder that the baselines may write to.
    """
    halves = {
        name: _searched(kind, system, folder)
        for name, system in ((BM25, Bm25), (MINILM, Dense))
        if name in names or FUSION in names
    }
    found = dict(halves)
    if FUSION in names:
        pairs = zip(halves[BM25], halves[MINILM], strict=True)
        found[FUSION] = [reciprocal_rank_fusion(pair) for pair in pairs]
    return {name: found[name] for name in names}


def _searched(kind: Kind, system: type[Bm25] | type[Dense], folder: Path) -> list[list[int]]:
    one: System = system(folder)
    for collection in kind.collections:
        one.add(collection.id, _turns(collection))
    return [
        one.search(question.text, len(collection.items), conversation=collection.id)
        for collection, question in questions_of(kind)
    ]


def _turns(collection: Collection) -> list[NumberedTurn]:
    """Items as baselines get them: the speaker, if one is known, and the text."""
    return [
        NumberedTurn(
            index,
            f"{item.name}: {item.content}" if item.name else item.content,
            Turn(str(index), item.name, "user", item.content, item.at),
        )
        for index, item in enumerate(collection.items)
    ]
