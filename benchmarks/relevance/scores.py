"""How well a probability tells two classes apart (AUROC), and how true it is (ECE)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 10
_RESAMPLES = 500

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def auroc(probability: Floats, right: Bools) -> float:
    """How often one that is right has a higher probability than one that is not; ties are half."""
    values, inverse = np.unique(probability, return_inverse=True)
    ones = np.bincount(inverse[right], minlength=len(values))
    zeros = np.bincount(inverse[~right], minlength=len(values))
    below = np.cumsum(zeros) - zeros
    return float((ones * (below + zeros / 2)).sum() / (ones.sum() * zeros.sum()))


def ece(probability: Floats, right: Bools) -> float:
    """Expected calibration error: mean distance of probability and share in bins of one width."""
    return sum(
        abs(mean - share) * count for mean, share, count in reliability(probability, right)
    ) / len(right)


def reliability(probability: Floats, right: Bools) -> list[tuple[float, float, int]]:
    """Mean probability, share that is right, and number of each bin that is not empty."""
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    return [
        (float(probability[own].mean()), float(right[own].mean()), int(own.sum()))
        for own in (bins == one for one in range(BINS))
        if own.any()
    ]


def figures(probability: Floats, right: Bools, documents: Sequence[str]) -> dict[str, Any]:
    """Both with intervals of 95 %, by a bootstrap over documents."""
    shown: dict[str, Any] = {"questions": len(right), "with_evidence": int(right.sum())}
    for name, score in (("auroc", auroc), ("ece", ece)):
        shown[name] = score(probability, right)
        shown[f"{name}_interval"] = _interval(score, probability, right, documents)
    return shown


def _interval(
    score: Callable[[Floats, Bools], float],
    probability: Floats,
    right: Bools,
    documents: Sequence[str],
) -> list[float]:
    rng = np.random.default_rng(0)
    _, inverse = np.unique(np.array(documents), return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(inverse))[:-1])
    found: list[float] = []
    while len(found) < _RESAMPLES:
        drawn = np.concatenate([rows[one] for one in rng.integers(len(rows), size=len(rows))])
        if 0 < right[drawn].sum() < len(drawn):
            found.append(score(probability[drawn], right[drawn]))
    low, high = np.percentile(found, (2.5, 97.5))
    return [float(low), float(high)]
