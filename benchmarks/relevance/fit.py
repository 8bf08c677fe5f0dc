"""Fits the numbers of `agentmem.retrieval.calibration` to measured cases."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from agentmem.retrieval.calibration import KNEE, Calibration, Signals
from benchmarks.relevance.measure import Case

Floats = NDArray[np.float64]

SIGNALS = {"cosine": Signals._fields, "words": Signals._fields[1:]}
FOLDS = 5
# Against weights without bound where a signal tells two classes apart by itself.
_RIDGE = 1e-3
_STEPS = 200


def fit(cases: Sequence[Case], names: Sequence[str]) -> Calibration:
    """Evidence and lag from all hits, and the relevance of a recall from the best of each."""
    columns = [Signals._fields.index(name) for name in names]
    signals = np.concatenate([case.signals[:, columns] for case in cases])
    right = np.concatenate([case.right for case in cases])
    *weights, bias = logistic(signals, right)
    lengths = np.cumsum([len(case.right) for case in cases])[:-1]
    evidence = np.split(signals @ np.array(weights) + bias, lengths)
    behind = np.concatenate([one - one.max() for one in evidence])
    hit = logistic(np.stack([np.concatenate(evidence), behind], axis=1), right)
    best = np.array([[one.max(), max(0.0, one.max() - KNEE)] for one in evidence])
    recall = logistic(best, np.array([case.ask.how == "own" for case in cases]))
    return Calibration(
        dict(zip(names, weights, strict=True)),
        bias,
        hit=(hit[0], hit[1], hit[2]),
        recall=(recall[0], recall[1], recall[2]),
    )


def relevance(case: Case, calibration: Calibration) -> tuple[float, Floats]:
    """Relevance of the recall, and of each hit (N,)."""
    evidence = [calibration.evidence(Signals(*row)) for row in case.signals.tolist()]
    best = max(evidence)
    hits = np.array([calibration.of_hit(one, best) for one in evidence])
    return calibration.of_recall(best), hits


def held_out(cases: Sequence[Case], names: Sequence[str]) -> list[tuple[float, Floats]]:
    """Relevance of each case with numbers fitted on the documents of the other folds."""
    folds = [_fold(case.ask.document) for case in cases]
    fitted = [
        fit([case for case, own in zip(cases, folds, strict=True) if own != fold], names)
        for fold in range(FOLDS)
    ]
    return [relevance(case, fitted[fold]) for case, fold in zip(cases, folds, strict=True)]


def to_json(calibrations: dict[str, Calibration], model: str) -> dict[str, Any]:
    """The content of ``calibration.json``."""
    parts = {
        name: {"weights": one.weights, "bias": one.bias, "hit": one.hit, "recall": one.recall}
        for name, one in calibrations.items()
    }
    return {"model": model, **parts}


def _fold(document: str) -> int:
    return hashlib.sha256(document.encode()).digest()[0] % FOLDS


def logistic(features: Floats, right: NDArray[np.bool_]) -> list[float]:
    """Weights and bias (D + 1) of a logistic regression of ``right`` (N,) on features (N, D)."""
    mean, spread = features.mean(0), features.std(0) + 1e-9
    x = torch.from_numpy((features - mean) / spread)
    y = torch.from_numpy(right.astype(np.float64))
    weights = torch.zeros(x.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        logits = x @ weights[:-1] + weights[-1]
        penalized = F.binary_cross_entropy_with_logits(logits, y)
        penalized = penalized + _RIDGE * weights[:-1].square().sum()
        penalized.backward()  # type: ignore[no-untyped-call]
        return penalized

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    found = weights.detach().numpy()
    scaled = found[:-1] / spread
    return _rounded([*scaled, found[-1] - scaled @ mean])


def _rounded(numbers: Sequence[float]) -> list[float]:
    return [round(float(number), 4) for number in numbers]
