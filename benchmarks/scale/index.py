"""The vector index at one size: exact, and with lists, of everything and in scopes."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from agentmem.evaluation.metrics import latency_ms
from agentmem_storage.index import CacheHeader, VectorIndex, build, load_cache, save_cache
from benchmarks.scale.config import IndexConfig
from benchmarks.scale.exact import exact_index, nearest_of_all
from benchmarks.scale.resident import resident_mb

# What a recall asks for at least, and how many of them it returns or so.
_WANTED, _FIRST = 64, 10

Scope = NDArray[np.int64] | None
# Times, and the ids found, int64 of shape (q, 64); -1 for none.
Searches = tuple[dict[str, float], NDArray[np.int64]]
T = TypeVar("T")


def measure_index(
    levels: NDArray[np.int8],
    queries: NDArray[np.float32],
    config: IndexConfig,
    random: np.random.Generator,
    folder: Path,
) -> dict[str, Any]:
    """Times are CPU times of the thread that searches.

    The index with lists is read by a process of its own, of which the resident memory is that of
    the index.

    Args:
        levels: Of all embeddings, int8 of shape (n, K); may be mapped from a file.
        queries: float32 of shape (q, K), unit rows.
        config: What to measure.
        random: Chooses the scopes.
        folder: Where files go meanwhile.
    """
    ids = np.arange(1, len(levels) + 1, dtype=np.int64)
    scopes: list[Scope] = [None, *(_scope(ids, share, random) for share in config.shares)]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        file = Path(scratch) / "keys.cache"
        lists, built_s = _timed(lambda: build(ids, lambda some: (some, levels[some - 1])))
        assert lists is not None
        kept = _saved(lists, file)
        del lists
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            loaded, by_lists = pool.apply(measure_loaded, (file, queries, scopes))
    exact: dict[str, float] | None = None
    expected: list[Searches] = []
    if len(levels) <= config.exact:
        exact, expected = _measured_exactly(levels, queries, scopes, folder)
    best = [ids for _, ids in expected] or nearest_of_all(levels, queries, scopes, _WANTED)
    rows = [
        {
            "exact_ms": expected[number][0] if expected else None,
            "lists_ms": times,
            **_shares(best[number], found),
        }
        for number, (times, found) in enumerate(by_lists)
    ]
    return {
        "embeddings": len(ids),
        "dims": levels.shape[1],
        "build_s": built_s,
        "all": rows[0],
        "scopes": [
            {"share": share, **row} for share, row in zip(config.shares, rows[1:], strict=True)
        ],
        "exact": exact,
        "lists": kept | loaded,
    }


def measure_loaded(
    file: Path, queries: NDArray[np.float32], scopes: Sequence[Scope]
) -> tuple[dict[str, float], list[Searches]]:
    """Read an index from its file, and search it; for a process of its own.

    Returns:
        What reading it takes, and what is resident in the end. For each scope, the times of
        searches, and the ids found, int64 of shape (q, 64); -1 for none.
    """
    before = resident_mb()
    index, seconds = _timed(lambda: _loaded(file, queries.shape[1]))
    searches = [_searched(index, queries, among) for among in scopes]
    return {"load_s": seconds, "resident_mb": resident_mb() - before}, searches


def _measured_exactly(
    levels: NDArray[np.int8],
    queries: NDArray[np.float32],
    scopes: Sequence[Scope],
    folder: Path,
) -> tuple[dict[str, float], list[Searches]]:
    index = exact_index(levels)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        file = Path(scratch) / "keys.cache"
        kept = _saved(index, file)
        _, seconds = _timed(lambda: _loaded(file, levels.shape[1]))
    # Its vectors in float32, and ids twice.
    megabytes = len(levels) * (4 * levels.shape[1] + 2 * 8) / 1e6
    searches = [_searched(index, queries, among) for among in scopes]
    return kept | {"load_s": seconds, "megabytes": megabytes}, searches


def _scope(ids: NDArray[np.int64], share: float, random: np.random.Generator) -> NDArray[np.int64]:
    return np.sort(random.choice(ids, max(1, int(len(ids) * share)), replace=False))


def _searched(index: VectorIndex, queries: NDArray[np.float32], among: Scope) -> Searches:
    took = []
    found = np.full((len(queries), _WANTED), -1, dtype=np.int64)
    index.search(queries[0], _WANTED, among=among)
    for row, query in enumerate(queries):
        best, seconds = _timed(lambda: index.search(query, _WANTED, among=among))  # noqa: B023
        found[row, : best.ids.size] = best.ids
        took.append(seconds)
    return latency_ms(took), found


def _shares(best: NDArray[np.int64], found: NDArray[np.int64]) -> dict[str, float]:
    """Of the nearest of each query, the share that was found."""
    shares: dict[str, float] = {}
    for most in (_FIRST, _WANTED):
        each = [
            float(np.isin(right[right >= 0], ids[:most]).mean())
            for right, ids in zip(best[:, :most], found, strict=True)
        ]
        shares[f"recall@{most}"] = float(np.mean(each))
    return shares


def _saved(index: VectorIndex, file: Path) -> dict[str, float]:
    header = CacheHeader("store", "model", 1, index.dims)
    _, seconds = _timed(lambda: save_cache(file, index, header))
    return {"file_bytes": file.stat().st_size, "save_s": seconds}


def _loaded(file: Path, dims: int) -> VectorIndex:
    loaded = load_cache(file, store_id="store", model="model", dims=dims)
    assert loaded is not None
    return loaded[0]


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.thread_time()
    made = work()
    return made, time.thread_time() - began
