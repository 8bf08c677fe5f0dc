"""Evaluates recall: whether `Memory.recall` finds the turns that answer a question.

Every conversation is a user of one store on disk, and questions are scoped to their own
conversation. The rank of a turn is that of its first chunk among the hits. Metrics: NDCG (Järvelin
and Kekäläinen), recall and MRR.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agentmem.evaluation.conversations import Conversation
from agentmem.evaluation.datasets import read_conversations
from agentmem.evaluation.metrics import latency_ms, mean_scores, ranking_scores
from agentmem.evaluation.result import EvalResult, build_result
from agentmem.ingest.threads import thread_count
from agentmem.memory import Memory
from agentmem.retrieval.query import Mode

Progress = Callable[[int, int], None]

# More hits than the 50 turns that are scored, because long turns are several chunks.
_HITS = 64
# Untimed recalls: the first ones load the index and warm the caches.
_WARM_UP = 3


def evaluate_recall(
    data: Path,
    *,
    model: str | Path | None = None,
    limit: int | None = None,
    mode: Mode = "hybrid",
    seed: int = 0,
    on_progress: Progress | None = None,
) -> EvalResult:
    """Add all conversations of a file, then recall with its questions.

    Args:
        data: LoCoMo's own file, or the JSON lines of `agentmem.evaluation.datasets`.
        model: A bundle's folder; None means the one that comes with the package.
        limit: Number of conversations, at most; None means all.
        mode: As in `Memory.recall`.
        seed: Recorded only; nothing here is random.
        on_progress: Called with the numbers of questions asked and of all.

    Raises:
        InputError: the file has neither form.
    """
    began = time.perf_counter()
    data_set = read_conversations(data)
    conversations = data_set.conversations[:limit]
    question_count = sum(len(conversation.questions) for conversation in conversations)
    scores: list[dict[str, float]] = []
    by_category: dict[str, list[dict[str, float]]] = defaultdict(list)
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder, Memory(folder, model=model) as memory:
        turns: dict[str, dict[int, list[str]]] = {}
        adding = 0.0
        for conversation in conversations:
            started = time.perf_counter()
            turns[conversation.id] = _add(memory, conversation)
            adding += time.perf_counter() - started
        for conversation in conversations:
            for question in conversation.questions:
                if not seconds:
                    for _ in range(_WARM_UP):
                        memory.recall(question.question, k=_HITS, user_id=conversation.id)
                started = time.perf_counter()
                hits = memory.recall(question.question, k=_HITS, user_id=conversation.id, mode=mode)
                seconds.append(time.perf_counter() - started)
                ranked = _turns([hit.source.id for hit in hits], turns[conversation.id])
                score = ranking_scores(ranked, question.evidence)
                scores.append(score)
                by_category[question.category or "none"].append(score)
                if on_progress is not None:
                    on_progress(len(scores), question_count)
        stats = memory.stats()
    return build_result(
        "recall",
        config={"data": data.name, "limit": limit, "mode": mode, "model": stats.model}
        | {"weights": stats.fingerprint},
        seed=seed,
        seconds=time.perf_counter() - began,
        results=_results(scores, by_category)
        | {
            "latency_ms": latency_ms(seconds),
            "adds_per_second": sum(len(c.turns) for c in conversations) / adding,
            "memories": stats.memories,
            "left_out": asdict(data_set.left_out),
        },
        threads=thread_count(),
    )


def _add(memory: Memory, conversation: Conversation) -> dict[int, list[str]]:
    """Add a conversation's turns; returns the turns of each source."""
    messages = [
        {"role": turn.role, "content": turn.content}
        | ({"name": turn.speaker} if turn.speaker else {})
        | ({"at": turn.at} if turn.at else {})
        for turn in conversation.turns
    ]
    receipt = memory.add(messages, user_id=conversation.id)
    turns_of: dict[int, list[str]] = defaultdict(list)
    for source, turn in zip(receipt.sources, conversation.turns, strict=True):
        turns_of[source].append(turn.id)
    return turns_of


def _turns(sources: Sequence[int], turns_of: dict[int, list[str]]) -> list[str]:
    """Turn ids in the order of the hits, without repetition."""
    return [turn for source in dict.fromkeys(sources) for turn in turns_of[source]]


def _results(
    scores: list[dict[str, float]], by_category: dict[str, list[dict[str, float]]]
) -> dict[str, Any]:
    return {
        "overall": mean_scores(scores),
        "by_category": {name: mean_scores(by_category[name]) for name in sorted(by_category)},
    }
