"""The fitted numbers that turn what a query and a memory have in common into a probability.

``calibration.json`` beside this file holds them; ``python -m benchmarks.relevance`` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

FILE = "calibration.json"
# The evidence from which on more of it tells less about a recall.
KNEE = -1.0


class Signals(NamedTuple):
    """What a query and a memory have in common; see `agentmem.retrieval.relevance`."""

    cosine: float
    share: float
    information: float
    memories: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """The numbers of one set of signals; see `agentmem.retrieval.relevance` for the formulas.

    Attributes:
        weights: Of each signal by name; a signal that has none does not count.
        bias: Added to the weighted signals.
        hit: Scale, lag and bias of the relevance of a hit.
        recall: Scale, bend and bias of the relevance of a recall.
    """

    weights: Mapping[str, float]
    bias: float
    hit: tuple[float, float, float]
    recall: tuple[float, float, float]

    def evidence(self, signals: Signals) -> float:
        """The evidence of a memory, in log-odds."""
        known: dict[str, float] = signals._asdict()
        return self.bias + sum(weight * known[name] for name, weight in self.weights.items())

    def of_hit(self, evidence: float, best: float) -> float:
        """Relevance of a hit, 0 to 1, given the evidence of the best."""
        scale, lag, bias = self.hit
        return sigmoid(scale * evidence + lag * min(0.0, evidence - best) + bias)

    def of_recall(self, best: float) -> float:
        """Relevance of a recall, 0 to 1, given the evidence of the best hit."""
        scale, bend, bias = self.recall
        return sigmoid(scale * best + bend * max(0.0, best - KNEE) + bias)


def sigmoid(x: float) -> float:
    """The logistic function."""
    return float(np.exp(-np.logaddexp(0.0, -x)))


def knows_cosines(fingerprint: str) -> bool:
    """Whether the numbers were fitted with the embeddings of this model."""
    return bool(_content()["model"] == fingerprint)


@cache
def calibration(*, cosines: bool) -> Calibration:
    """The numbers that count cosines, or those that count words alone."""
    made = _content()["cosine" if cosines else "words"]
    return Calibration(made["weights"], made["bias"], tuple(made["hit"]), tuple(made["recall"]))


@cache
def _content() -> dict[str, Any]:
    text = files("agentmem.retrieval").joinpath(FILE).read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content
