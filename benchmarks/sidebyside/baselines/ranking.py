"""The indices of the best scores of an array."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def best(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Indices of the k highest scores (or of all, if fewer), best first, ties in order."""
    found: NDArray[np.int64] = np.argsort(-scores, kind="stable")[:k]
    return found
