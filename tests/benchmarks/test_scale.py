"""The scale benchmark: the embeddings that it makes, a run of it, and its tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from agentmem.evaluation.result import build_result, write_result
from agentmem_storage.levels import from_levels, to_levels
from benchmarks.embeddings import among
from benchmarks.report.plots import draw_plots
from benchmarks.report.tables import render
from benchmarks.scale import exact
from benchmarks.scale.__main__ import main
from benchmarks.scale.config import IndexConfig, ScaleConfig
from benchmarks.scale.index import measure_index


def real(count: int) -> np.ndarray:
    """Some topics, and what is near to them."""
    random = np.random.default_rng(1)
    topics = random.standard_normal((12, 24))
    rows = topics[random.integers(0, 12, count)] + 0.4 * random.standard_normal((count, 24))
    return from_levels(to_levels(rows))


def test_more_embeddings_lie_among_the_real_ones() -> None:
    vectors = real(200)
    made = from_levels(among(vectors, 2000, np.random.default_rng(2)))
    again = from_levels(among(vectors, 2000, np.random.default_rng(2)))
    assert np.array_equal(made, again)
    assert np.array_equal(made[:200], vectors)
    assert len(np.unique(made, axis=0)) == 2000
    # As near to a real one as real ones are to each other, and not as near as copies are.
    between = np.sort(vectors @ vectors.T, axis=1)[:, -2]
    nearest = (made[200:] @ vectors.T).max(axis=1)
    assert np.median(between) - 0.1 < np.median(nearest) < 0.999


def test_the_index_is_compared_with_the_exact_one(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    config = IndexConfig(embeddings=[3000], queries=5, shares=[0.01, 0.5])
    levels = among(real(300), 3000, random)
    found = measure_index(levels, real(5), config, random, tmp_path)
    assert [scope["share"] for scope in found["scopes"]] == [0.01, 0.5]
    for one in (found["all"], *found["scopes"]):
        assert one["recall@10"] == one["recall@64"] == 1.0  # so few lists are all scanned
        assert one["lists_ms"]["p50"] > 0
    assert found["exact"]["megabytes"] > 0
    assert found["lists"]["file_bytes"] > 3000 * 24
    assert list(tmp_path.iterdir()) == []


def test_the_nearest_of_all_are_those_of_the_exact_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "_BATCH", 64)
    random = np.random.default_rng(5)
    levels, queries = among(real(90), 500, random), real(4)
    index = exact.exact_index(levels)
    scopes = [None, np.arange(3, 500, 7), np.array([2, 499])]
    for scope, found in zip(scopes, exact.nearest_of_all(levels, queries, scopes, 6), strict=True):
        for query, ids in zip(queries, found, strict=True):
            expected = index.search(query, 6, among=scope).ids
            assert ids[: expected.size].tolist() == expected.tolist()
            assert (ids[expected.size :] == -1).all()


def test_a_size_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 100"):
        ScaleConfig.model_validate({"index": {"embeddings": [7], "shares": []}})


CONFIG = """
[index]
embeddings = [2000]
queries = 5
shares = [0.1]

[store]
memories = [100, 130]
questions = 17
forgotten = 1
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_index_and_stores_are_measured_once(tmp_path: Path) -> None:
    said = [
        {
            "id": str(n),
            "name": "Ana",
            "content": f"Parcel {n} is in room {n}.",
            "at": f"2026-03-0{1 + n // 6}",
        }
        for n in range(24)
    ]
    asked = [{"question": f"Where is parcel {n}?", "evidence": [str(n)]} for n in range(20)]
    data, config = tmp_path / "said.jsonl", tmp_path / "scale.toml"
    data.write_text(json.dumps({"id": "a", "messages": said, "questions": asked}), encoding="utf-8")
    config.write_text(CONFIG, encoding="utf-8")
    out = tmp_path / "results" / "scale.json"
    out.parent.mkdir()
    for _ in range(2):
        main(config, data, out, work=tmp_path / "work", quiet=True)
    found = json.loads(out.read_text(encoding="utf-8"))["results"]
    assert [row["embeddings"] for row in found["index"]] == [2000]
    # Whole sessions of six are added, and of the smaller store two memories were forgotten.
    assert [row["memories"] for row in found["store"]] == [102, 130]
    for row in found["store"]:
        assert all(times["p50"] > 0 for times in row["recall_ms"].values())
        assert row["bytes_per_memory"]["database"] > row["bytes_per_memory"]["index"] > 0
    assert "with a filter" in render(out.parent)["scale"]


def test_tables_and_plot(tmp_path: Path) -> None:
    times = {"p50": 1.5, "p95": 2.25}
    of_index = {"exact_ms": times, "lists_ms": times, "recall@10": 0.997, "recall@64": 0.992}
    kept = {"file_bytes": 4e6, "save_s": 0.1, "load_s": 0.2, "megabytes": 16.4}
    index = {
        "embeddings": 10_000,
        "build_s": 1.25,
        "all": of_index,
        "scopes": [{"share": 0.001, **of_index}],
        "dims": 24,
        "exact": kept,
        "lists": {**kept, "resident_mb": 8.2},
    }
    kinds = ("all", "user", "filter", "filter of a user", "since")
    store = {
        "memories": 50_000,
        "open_s": 0.5,
        "recall_ms": dict.fromkeys(kinds, times),
        **dict.fromkeys(("list_ms", "count_ms", "iterate_us", "forget_now_ms"), 12.0),
        **dict.fromkeys(("forget_later_ms", "purge_ms", "written_per_second"), 1234.0),
        "bytes_per_memory": {"database": 1500.0, "index": 400.0},
        "resident_mb": {"models": 190.0, "store": 41.0},
    }
    large = {
        **index,
        "embeddings": 10_000_000,
        "all": {**of_index, "exact_ms": None},
        "exact": None,
    }
    for name, results in (
        ("scale", {"index": [index], "store": [store]}),
        ("scale-large", {"index": [large]}),
    ):
        measured = {"load": 1.0, **results}
        made = build_result("scale", config={}, seed=0, seconds=1.0, results=measured)
        write_result(tmp_path / f"{name}.json", made)
    tables = render(tmp_path)
    text = tables["scale"]
    assert (
        "| 10,000 | 1.5 / 2.2 ms | 1.5 / 2.2 ms | 0.997 | 0.992 | 1.2 s | 0.20 s | 4 MB |"
        " 16 MB | 8 MB |" in text
    )
    assert "| 10,000 | 0.10 % | 1.5 / 2.2 ms |" in text
    assert "| 10,000,000 | – | 1.5 / 2.2 ms |" in tables["scale-large"]
    assert "Recall since a day" not in tables["scale-large"]
    assert "| 50,000 | 2 / 2 ms |" in text
    assert "| 12 ms | 1,234 ms | 1,234 ms | 1,234/s | 1,500 | 400 | 41 MB |" in text
    plots = tuple(tmp_path / f"{name}.png" for name in ("scale-large", "scale"))
    assert draw_plots(tmp_path) == plots
    assert all(plot.stat().st_size > 10_000 for plot in plots)
