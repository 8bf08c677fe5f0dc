"""Compares agentmem with other memory systems, on the same turns and questions, in one run.

Every system gets all turns, then every question: within its conversation and over all of them.
Each runs in a process of its own (see `benchmarks.sidebyside.worker`); a failure is recorded in the
result as its error.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agentmem.errors import InputError
from agentmem.evaluation.datasets import read_conversations
from agentmem.evaluation.metrics import latency_ms, mean_scores, ranking_scores
from agentmem.evaluation.result import EvalResult, build_result
from agentmem.models.bundle.load import load_bundle
from benchmarks.progress import Progress
from benchmarks.sidebyside.config import SideBySideConfig, SystemConfig
from benchmarks.sidebyside.data import Numbered, numbered
from benchmarks.sidebyside.positions import (
    evidence_within,
    text_positions,
    vector_positions,
)
from benchmarks.sidebyside.process import SystemFailedError, measured_by


def evaluate_side_by_side(
    config: SideBySideConfig,
    data: Path,
    *,
    path: Sequence[Path] = (),
    runs: Path | None = None,
    on_progress: Progress | None = None,
) -> EvalResult:
    """Measure every system of a configuration.

    Args:
        config: The systems and limits.
        data: LoCoMo's own file, or the JSON lines of `agentmem.evaluation.datasets`.
        path: Folders that the systems' modules are found in, beside the installed ones.
        runs: Where each system's rankings are kept for the next run; None keeps nothing.
        on_progress: Called with a system's steps done, all of them, and which system it is.

    Raises:
        InputError: The file has neither format, or no question in it can be evaluated.
        ModelNotFoundError: There is no bundle where the configuration names one.
    """
    began = time.perf_counter()
    found = numbered(
        read_conversations(data), conversations=config.conversations, questions=config.questions
    )
    if not found.questions:
        raise InputError(f"{data.name} has no question that names a turn as its evidence")
    scorer = _Scorer(found, config)
    systems: list[dict[str, Any]] = []
    for number, system in enumerate(config.systems, start=1):
        note = f"{system.name} ({number} of {len(config.systems)})"

        def on_step(done: int, total: int, note: str = note) -> None:
            if on_progress is not None:
                on_progress(done, total, note)

        try:
            measured = measured_by(
                _job(config, system, data),
                threads=config.threads,
                path=path,
                runs=runs,
                on_step=on_step,
            )
        except SystemFailedError as error:
            systems.append({"name": system.name, "error": str(error)})
        else:
            systems.append({"name": system.name, "error": None, **scorer.results(measured)})
    return build_result(
        "sidebyside",
        config={"data": data.name, **config.model_dump(mode="json"), "weights": scorer.weights},
        seed=0,
        seconds=time.perf_counter() - began,
        results={
            "conversations": len(found.turns),
            "turns": sum(map(len, found.turns.values())),
            "questions": len(found.questions),
            "tokens_per_position": config.tokens_per_position,
            "left_out": asdict(found.left_out),
            "systems": systems,
        },
        threads=config.threads,
    )


def _job(config: SideBySideConfig, system: SystemConfig, data: Path) -> dict[str, Any]:
    return {
        "data": str(data.resolve()),
        "conversations": config.conversations,
        "questions": config.questions,
        "system": system.system,
        "options": system.options,
    }


class _Scorer:
    """Computes metrics from rankings, the same for every system."""

    def __init__(self, data: Numbered, config: SideBySideConfig) -> None:
        bundle = load_bundle(config.model)
        tokens = [
            len(bundle.tokenizer.encode(said.turn.content))
            for turns in data.turns.values()
            for said in turns
        ]
        self.weights = bundle.fingerprint
        self._data = data
        self._budgets = config.positions
        self._text = text_positions(tokens)
        self._vectors = vector_positions(tokens, config.tokens_per_position)

    def results(self, measured: dict[str, Any]) -> dict[str, Any]:
        """The result of a system that finished."""
        turns = sum(map(len, self._data.turns.values()))
        shown = {"text": self._text}
        if measured["as_vectors"]:
            shown["vectors"] = self._vectors
        return {
            "inside": self._scores(measured["inside"]),
            "pooled": self._scores(measured["pooled"]),
            "evidence_within_positions": {
                condition: self._within(measured["whole"], positions)
                for condition, positions in shown.items()
            },
            "adds_per_second": turns / measured["add_seconds"],
            "recall_ms": latency_ms(measured["recall_seconds"]),
            "disk_bytes": measured["disk_bytes"],
            "peak_memory_bytes": measured["peak_memory_bytes"],
            "versions": measured["versions"],
        }

    def _scores(self, rankings: Sequence[Sequence[int]]) -> dict[str, Any]:
        scores = []
        by_category: dict[str, list[dict[str, float]]] = defaultdict(list)
        for ranked, question in zip(rankings, self._data.questions, strict=True):
            score = ranking_scores(ranked, question.evidence)
            scores.append(score)
            by_category[question.category or "none"].append(score)
        return {
            "overall": mean_scores(scores),
            "by_category": {name: mean_scores(by_category[name]) for name in sorted(by_category)},
        }

    def _within(
        self, rankings: Sequence[Sequence[int]], positions: Sequence[int]
    ) -> dict[str, float]:
        """Means over questions, by budget."""
        means = {}
        for budget in self._budgets:
            shares = [
                evidence_within(ranked, question.evidence, positions, budget)
                for ranked, question in zip(rankings, self._data.questions, strict=True)
            ]
            means[str(budget)] = sum(shares) / len(shares)
        return means
