"""Embeddings in two dimensions, for a map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def project(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """The first two principal components of N embeddings.

    The same embeddings give the same map: the sign of a component is that of its largest weight.

    Args:
        embeddings: float32 (N, K).

    Returns:
        Places, float64 (N, 2), each coordinate from 0 to 1.
    """
    centered = embeddings.astype(np.float64) - embeddings.mean(axis=0, dtype=np.float64)
    _, vectors = np.linalg.eigh(centered.T @ centered)
    axes = vectors[:, :-3:-1]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    points = centered @ (axes * np.where(largest < 0, -1.0, 1.0))
    spread = np.ptp(points, axis=0)
    # One memory, or several equal ones: there is no direction in which they differ.
    flat = spread < 1e-9
    scaled = (points - points.min(axis=0)) / np.where(flat, 1.0, spread)
    return np.where(flat, 0.5, scaled)
