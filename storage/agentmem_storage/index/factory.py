"""Creates the vector index of the requested backend; FAISS is imported when it is needed."""

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

_log = logging.getLogger(__name__)


def make_index(dims: int, kind: IndexKind = "auto") -> VectorIndex:
    """Create an empty index.

    Args:
        dims: K, the dims of a vector.
        kind: ``exact`` (numpy), ``faiss``, or ``auto``: FAISS if installed, else exact.
            Both return the same results; FAISS is faster. A large store replaces what
            ``auto`` makes, see `is_outgrown`.

    Raises:
        MissingExtraError: ``faiss`` is requested and not installed.
        ValueError: ``kind`` is unknown, or ``dims`` is below 1.
    """
    if kind == "exact":
        return ExactIndex(dims)
    if kind not in ("auto", "faiss"):
        raise ValueError(f"kind must be 'auto', 'exact' or 'faiss', got {kind!r}")
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
    if isinstance(index, ExactIndex):  # FAISS is not installed
        return False
    from agentmem_storage.index.building import outgrown

    return outgrown(index)


def is_large(count: int) -> bool:
    """Whether so many vectors should be in an index that `build` makes."""
    try:
        from agentmem_storage.index.building import LISTS_FROM
    except ImportError:  # FAISS is not installed
        return False
    return count >= LISTS_FROM


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
