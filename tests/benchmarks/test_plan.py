"""The plan for a billion memories: arithmetic on what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentmem.errors import InputError
from agentmem.evaluation.result import build_result, write_result
from benchmarks.report.plan import plan_tables
from benchmarks.report.tables import render

SMALL = {
    "memories": 1000,
    "bytes_per_memory": {"database": 5.0, "index": 5.0},
    "resident_mb": {"store": 9.0},
    "recall_ms": {"user": {"p50": 1.0, "p95": 2.0}},
}
LARGE = {
    "memories": 250_000,
    "bytes_per_memory": {"database": 1000.0, "index": 400.0},
    "resident_mb": {"store": 240.0},
    "recall_ms": {"user": {"p50": 20.0, "p95": 86.4}},
}
INDEX = [{"embeddings": 1000, "exact": {"file_bytes": 392_215}}]
SPEED = {"adds_per_second": 100.0}


def row(lines: list[str], head: str) -> list[str]:
    (found,) = (line for line in lines if line.startswith(f"| {head}"))
    return [cell.strip() for cell in found.strip("|").split("|")]


def plan(**store: Any) -> list[str]:
    scale = {"store": [LARGE | store, SMALL], "index": INDEX}
    return plan_tables({"scale": scale, "speed": SPEED})


def test_what_is_measured_is_multiplied() -> None:
    lines = plan()
    # 10 calls of a million users a day, and five times as many at the peak: 579 a second.
    assert row(lines, "`recall` of a user")[1:] == ["579", "86 ms (p95)", "50"]
    assert row(lines, "`add`")[1:] == ["579", "10 ms", "6"]
    assert row(lines, "Stores, each")[2] == "4,000"
    assert row(lines, "Database")[1:3] == ["1,000 bytes", "1.00 TB"]
    # 0.96 TB in memory, of which a machine keeps 48 GB, and a tenth more machines.
    assert row(lines, "Machines |")[2:] == ["22", "$6,380"]
    assert [line for line in lines if line.startswith("| Disks | ")][0].endswith("2.8 TB | $224 |")
    # 384 dims of four bytes, and a graph.
    assert row(lines, "Machines of Milvus, 384 dims")[1] == "1,997 bytes"


def test_cores_count_where_they_are_more() -> None:
    slow = plan(recall_ms={"user": {"p50": 20.0, "p95": 864.0}})
    assert row(slow, "all, and cores to have")[3] == "506, 1,012"
    assert row(slow, "Machines |")[2] == "140"


def test_it_is_drawn_from_result_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Their own tables need more of these files than the plan does.
    tables = dict.fromkeys(("scale", "speed"), lambda _: ["a table"])
    monkeypatch.setattr("benchmarks.report.tables._TABLES", tables)

    def write(name: str, results: dict[str, Any]) -> None:
        made = build_result(name, config={}, seed=0, seconds=1.0, results=results, gpu=None)
        write_result(tmp_path / f"{name}.json", made)

    write("scale", {"store": [LARGE, SMALL], "index": INDEX})
    assert "plan" not in render(tmp_path)
    write("speed", SPEED)
    assert "One store for all" in render(tmp_path)["plan"]
    write("speed", {})
    with pytest.raises(InputError, match="no plan of scale, speed: KeyError"):
        render(tmp_path)
