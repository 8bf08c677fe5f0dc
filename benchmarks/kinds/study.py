"""Adds every kind, asks its questions in every way, and scores the rankings."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agentmem.evaluation.result import EvalResult, build_result
from agentmem.ingest.threads import thread_count
from benchmarks.kinds.baselines import BASELINES
from benchmarks.kinds.changes import changes
from benchmarks.kinds.chats import chats
from benchmarks.kinds.collection import Kind, limited
from benchmarks.kinds.documents import documents
from benchmarks.kinds.kept import baselines, filled
from benchmarks.kinds.lists import lists
from benchmarks.kinds.notes import notes
from benchmarks.kinds.ours import WAYS, rankings
from benchmarks.kinds.scores import scores
from benchmarks.progress import Progress

KINDS: dict[str, Callable[[Path], Kind]] = {
    "notes": notes,
    "changes": changes,
    "documents": documents,
    "chats": chats,
    "lists": lists,
}
SYSTEMS = (*WAYS, *BASELINES)


def evaluate_kinds(
    corpus: Path,
    *,
    kinds: Sequence[str],
    systems: Sequence[str],
    limit: int | None = None,
    work: Path | None = None,
    on_progress: Progress | None = None,
) -> EvalResult:
    """Measure systems on kinds of memories.

    Args:
        corpus: Folder of the corpus.
        kinds: Some of `KINDS`.
        systems: Some of `SYSTEMS`.
        limit: Questions of each kind, at most; None means all.
        work: Where stores are kept for the next run, see `benchmarks.kinds.kept`.
        on_progress: Called with the numbers of rankings made and of all, and what is being done.

    Raises:
        InputError: A file of the corpus is missing or damaged.
    """
    began = time.perf_counter()
    results: dict[str, Any] = {}
    for name in kinds:
        kind = limited(KINDS[name](corpus), limit)
        results[name] = _measured(kind, systems, work, on_progress)
    return build_result(
        "kinds",
        config={"kinds": list(kinds), "systems": list(systems), "limit": limit},
        seed=0,
        seconds=time.perf_counter() - began,
        results=results,
        threads=thread_count(),
    )


def _measured(
    kind: Kind, systems: Sequence[str], work: Path | None, on_progress: Progress | None
) -> dict[str, Any]:
    """Sizes of a kind, and the scores of each system."""

    def tell(done: int, note: str) -> None:
        if on_progress is not None:
            on_progress(done, len(systems), f"{kind.name}: {note}")

    found: dict[str, list[list[int]]] = {}
    ways = [name for name in systems if name in WAYS]
    if ways:
        tell(0, "adding")
        with filled(kind, work) as (memory, added):
            for way in ways:
                tell(len(found), way)
                found[way] = list(rankings(memory, kind, added, way))
    tell(len(found), "baselines")
    found |= baselines(kind, [name for name in systems if name in BASELINES], work)
    tell(len(systems), "done")
    return {
        "memories": sum(len(one.items) for one in kind.collections),
        "users": len(kind.collections),
        "systems": {name: scores(kind, found[name]) for name in systems},
    }
