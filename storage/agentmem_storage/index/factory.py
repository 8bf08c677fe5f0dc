"""Creates the vector index of the requested backend; FAISS is imported when it is needed.

A small store does without: importing FAISS takes longer than all that a command does with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.errors import MissingExtraError
from agentmem_storage.index.base import Parted, Read, VectorIndex
from agentmem_storage.index.exact import ExactIndex

IndexKind = Literal["auto", "exact", "faiss"]

# Up to so many vectors, NumPy scans them as fast as FAISS.
FAISS_FROM = 10_000
# From so many vectors on, scanning lists takes less than a third of the time of scanning all
# (benchmarks/results/scale.json), and is worth not being exact.
LISTS_FROM = 50_000

_log = logging.getLogger(__name__)


def make_index(dims: int, kind: IndexKind = "auto", count: int = 0) -> VectorIndex:
    """Create an empty index.

    Args:
        dims: K, the dims of a vector.
        kind: ``exact`` (numpy), ``faiss``, or ``auto``: FAISS for `FAISS_FROM` vectors or more if
            it is installed, else exact. All return the same results. A large store replaces what
            ``auto`` makes, see `is_outgrown`.
        count: How many vectors it will have at first.

    Raises:
        MissingExtraError: ``faiss`` is requested and not installed.
        ValueError: ``kind`` is unknown, or ``dims`` is below 1.
    """
    if kind not in ("auto", "exact", "faiss"):
        raise ValueError(f"kind must be 'auto', 'exact' or 'faiss', got {kind!r}")
    if kind == "exact" or (kind == "auto" and count < FAISS_FROM):
        return ExactIndex(dims)
    try:
        from agentmem_storage.index.faiss import FaissIndex
    except ImportError as error:
        if kind == "faiss":
            raise MissingExtraError(
                "the faiss index needs faiss: pip install 'latent-agentmem[cpu]'", extra="cpu"
            ) from error
        _log.info("faiss cannot be imported (%s); searching with numpy", error)
        return ExactIndex(dims)
    return FaissIndex(dims)


def is_outgrown(index: VectorIndex) -> bool:
    """Whether an index is too large for what it is, so that `build` makes a better one of it."""
    if isinstance(index, ExactIndex):  # perhaps because FAISS is not installed
        return is_large(len(index))
    from agentmem_storage.index.building import lists_for
    from agentmem_storage.index.ivf import IvfIndex

    if isinstance(index, IvfIndex):
        return lists_for(index.places) > len(index.centroids)
    return is_large(len(index))


def is_large(count: int) -> bool:
    """Whether so many vectors should be in an index that `build` makes, and can be."""
    if count < LISTS_FROM:
        return False
    try:
        import agentmem_storage.index.building  # noqa: F401
    except ImportError:  # FAISS is not installed
        return False
    return True


def build(
    ids: NDArray[np.int64], read: Read, stopped: Callable[[], bool] = lambda: False
) -> VectorIndex | None:
    """Build an index for a large store; see `agentmem_storage.index.building.build`."""
    from agentmem_storage.index.building import build as build_lists

    return build_lists(ids, read, stopped)


def make_parted(centroids: NDArray[np.float32], lists: NDArray[np.int32]) -> Parted | None:
    """An empty index with lists; None if FAISS is not installed.

    Args:
        centroids: What places vectors in lists, float32 of shape (lists, K).
        lists: Of each vector that will be added, its list, int32 of shape (n,).
    """
    try:
        from agentmem_storage.index.ivf import IvfIndex
    except ImportError:
        return None
    index = IvfIndex(centroids)
    index.reserve(lists)
    return index
