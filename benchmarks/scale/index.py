"""The vector index at one size: exact, and with lists, of everything and in scopes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from agentmem.evaluation.metrics import latency_ms
from agentmem_storage.index import (
    CacheHeader,
    VectorIndex,
    build,
    load_cache,
    make_index,
    save_cache,
)
from agentmem_storage.levels import from_levels
from agentmem_storage.records import Ranked
from benchmarks.scale.config import IndexConfig

_BATCH = 16_384
# What a recall asks for at least, and how many of them it returns or so.
_WANTED, _FIRST = 64, 10

T = TypeVar("T")


def measure_index(
    levels: NDArray[np.int8],
    queries: NDArray[np.float32],
    config: IndexConfig,
    random: np.random.Generator,
) -> dict[str, Any]:
    """Times are CPU times of the thread that searches.

    Args:
        levels: Of all embeddings, int8 of shape (n, K).
        queries: float32 of shape (q, K), unit rows.
        config: What to measure.
        random: Chooses the scopes.
    """
    ids = np.arange(1, len(levels) + 1, dtype=np.int64)
    exact = make_index(levels.shape[1], "faiss")
    for first in range(0, len(ids), _BATCH):
        part = slice(first, first + _BATCH)
        exact.add(ids[part], from_levels(levels[part]))
    lists, seconds = _timed(lambda: build(ids, lambda some: (some, levels[some - 1])))
    assert lists is not None
    scopes = [None, *(_scope(ids, share, random) for share in config.shares)]
    found = [_compared(exact, lists, queries, among) for among in scopes]
    kept = {"exact": _kept(exact), "lists": _kept(lists)}
    return {
        "embeddings": len(ids),
        "build_s": seconds,
        "all": found[0],
        "scopes": [
            {"share": share, **one} for share, one in zip(config.shares, found[1:], strict=True)
        ],
        **{name: one | {"megabytes": _megabytes(name, levels)} for name, one in kept.items()},
    }


def _scope(ids: NDArray[np.int64], share: float, random: np.random.Generator) -> NDArray[np.int64]:
    return np.sort(random.choice(ids, max(1, int(len(ids) * share)), replace=False))


def _compared(
    exact: VectorIndex,
    lists: VectorIndex,
    queries: NDArray[np.float32],
    among: NDArray[np.int64] | None,
) -> dict[str, Any]:
    """What both find of each query, and how long it takes them."""
    took: dict[str, list[float]] = {"exact": [], "lists": []}
    shares: dict[int, list[float]] = {_FIRST: [], _WANTED: []}
    for query in queries:
        found: dict[str, Ranked] = {}
        for name, index in (("exact", exact), ("lists", lists)):
            found[name], seconds = _timed(lambda: index.search(query, _WANTED, among=among))  # noqa: B023
            took[name].append(seconds)
        for most, share in shares.items():
            best = found["exact"].ids[:most]
            share.append(float(np.isin(best, found["lists"].ids[:most]).mean()))
    return {
        **{f"{name}_ms": latency_ms(seconds) for name, seconds in took.items()},
        **{f"recall@{most}": float(np.mean(share)) for most, share in shares.items()},
    }


def _kept(index: VectorIndex) -> dict[str, float]:
    """The cache file: its size, and how long it takes to write and to read it."""
    header = CacheHeader("store", "model", 1, index.dims)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys.cache"
        _, saved = _timed(lambda: save_cache(path, index, header))
        read = lambda: load_cache(path, store_id="store", model="model", dims=index.dims)  # noqa: E731
        loaded, seconds = _timed(read)
        assert loaded is not None
        return {"file_bytes": path.stat().st_size, "save_s": saved, "load_s": seconds}


def _megabytes(kind: str, levels: NDArray[np.int8]) -> float:
    """What the arrays of an index take: its vectors, its ids, and the codes in its lists."""
    count, dims = levels.shape
    each = 4 * dims + 2 * 8 if kind == "exact" else 2 * dims + 4 * 8 + 4
    return float(count * each) / 1e6


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.thread_time()
    made = work()
    return made, time.thread_time() - began
