"""Creates the vector index of the requested backend."""

from __future__ import annotations

import logging
from typing import Literal

from agentmem_storage.errors import MissingExtraError
from agentmem_storage.index.base import VectorIndex
from agentmem_storage.index.exact import ExactIndex

IndexKind = Literal["auto", "exact", "faiss"]

_log = logging.getLogger(__name__)


def make_index(dims: int, kind: IndexKind = "auto") -> VectorIndex:
    """Create an empty index.

    Args:
        dims: K, the dims of a vector.
        kind: ``exact`` (numpy), ``faiss``, or ``auto``: FAISS if installed, else exact.
            Both return the same results; FAISS is faster.

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
