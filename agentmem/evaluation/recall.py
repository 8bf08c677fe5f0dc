"""Evaluates recall: whether `Memory.recall` finds what answers a question.

All data are added to one store on disk. Conversations are users of their own, and questions are
scoped to their own conversation; documents are one collection. Metrics: NDCG (Järvelin and
Kekäläinen), recall and MRR; for documents with reference spans, those of
`agentmem.evaluation.spans`.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from agentmem.corpus import read_records
from agentmem.errors import InputError
from agentmem.evaluation.beir import BeirData
from agentmem.evaluation.conversation_recall import ConversationData
from agentmem.evaluation.metrics import latency_ms, mean_scores
from agentmem.evaluation.recall_data import RecallData, RecallQuestion
from agentmem.evaluation.result import EvalResult, build_result
from agentmem.evaluation.spans import SpanData
from agentmem.ingest.threads import thread_count
from agentmem.memory import Memory
from agentmem.retrieval.query import Mode

Progress = Callable[[int, int], None]

# Untimed recalls: the first ones load the index and warm the caches.
_WARM_UP = 3
# Groups of questions by how many pieces of evidence they have, at most.
_EVIDENCE = {1: "1", 2: "2", 5: "3-5", 10: "6-10"}
_MORE_EVIDENCE = "11 or more"


def evaluate_recall(
    data: Path,
    *,
    model: str | Path | None = None,
    limit: int | None = None,
    mode: Mode = "hybrid",
    seed: int = 0,
    on_progress: Progress | None = None,
) -> EvalResult:
    """Add what a file or folder holds, then recall with its questions.

    Args:
        data: LoCoMo's own file; the JSON lines of `agentmem.evaluation.datasets` or
            `agentmem.evaluation.spans`; or a folder as in `agentmem.evaluation.beir`.
        model: A bundle's folder; None means the one that comes with the package.
        limit: Number of conversations, of documents with spans, or of a folder's queries, at most;
            None means all.
        mode: As in `Memory.recall`.
        seed: Recorded only; nothing here is random.
        on_progress: Called with the numbers of questions asked and of all.

    Raises:
        InputError: the data have none of these forms, or no question can be evaluated.
    """
    began = time.perf_counter()
    found = open_data(data, limit)
    if not found.asked:
        raise InputError(f"{data.name} has no question whose evidence is in it")
    scores: list[tuple[RecallQuestion, dict[str, float]]] = []
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder, Memory(folder, model=model) as memory:
        started = time.perf_counter()
        added = found.add(memory)
        adding = time.perf_counter() - started
        for asked in islice(found.asked, _WARM_UP):
            memory.recall(asked.question, k=found.hits, user_id=asked.user_id, mode=mode)
        for asked in found.asked:
            started = time.perf_counter()
            hits = memory.recall(asked.question, k=found.hits, user_id=asked.user_id, mode=mode)
            seconds.append(time.perf_counter() - started)
            scores.append((asked, found.scores(asked, hits)))
            if on_progress is not None:
                on_progress(len(scores), len(found.asked))
        stats = memory.stats()
    return build_result(
        "recall",
        config={"data": data.name, "limit": limit, "mode": mode, "model": stats.model}
        | {"weights": stats.fingerprint},
        seed=seed,
        seconds=time.perf_counter() - began,
        results=_results(scores)
        | {
            "latency_ms": latency_ms(seconds),
            "adds_per_second": added / adding,
            "added": found.added,
            "memories": stats.memories,
            "left_out": asdict(found.left_out),
        },
        threads=thread_count(),
    )


def open_data(path: Path, limit: int | None) -> RecallData:
    """Read data in any of the forms; a document has a ``text``, a conversation ``messages``.

    Raises:
        InputError: it has none of them.
    """
    if path.is_dir():
        return BeirData(path, limit)
    try:
        first = next(iter(read_records(path)), {})
    except (InputError, OSError):
        # LoCoMo's file, or none at all: reading it as conversations says which.
        first = {}
    return SpanData(path, limit) if "text" in first else ConversationData(path, limit)


def evidence_group(count: int) -> str:
    """The group of a question with so many pieces of evidence."""
    return next((name for most, name in _EVIDENCE.items() if count <= most), _MORE_EVIDENCE)


def _results(scores: Iterable[tuple[RecallQuestion, dict[str, float]]]) -> dict[str, Any]:
    every: list[dict[str, float]] = []
    by_category: dict[str, list[dict[str, float]]] = defaultdict(list)
    by_evidence: dict[str, list[dict[str, float]]] = {
        name: [] for name in (*_EVIDENCE.values(), _MORE_EVIDENCE)
    }
    for asked, row in scores:
        every.append(row)
        by_category[asked.category or "none"].append(row)
        by_evidence[evidence_group(asked.evidence)].append(row)
    return {
        "overall": mean_scores(every),
        "by_category": {name: mean_scores(by_category[name]) for name in sorted(by_category)},
        "by_evidence": {name: mean_scores(rows) for name, rows in by_evidence.items() if rows},
    }
