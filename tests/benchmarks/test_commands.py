"""Benchmarks as commands: the result file, the table, the README, and errors of one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentmem.errors import InputError
from agentmem.evaluation.result import build_result, write_result
from benchmarks.command import run
from benchmarks.report.__main__ import report
from benchmarks.robustness.__main__ import robustness
from tests.support.cli import bundle

Command = Callable[..., tuple[object, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a benchmark with arguments; its exit status, and what it printed."""

    def call(benchmark: Callable[..., Any], *args: object) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["benchmark", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            run(benchmark)
        return ended.value.code, capsys.readouterr().out

    return call


def test_robustness(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "robustness.json"
    args = ("--json", out, "--chunks", 2, "--seed", 3, "--model", bundle())
    code, shown = command(robustness, *args)
    assert code == 0
    result = json.loads(out.read_text(encoding="utf-8"))
    assert list(result) == [
        *("task", "config", "versions", "hardware", "seed", "seconds", "results")
    ]
    assert (result["task"], result["seed"], result["config"]["chunks"]) == ("robustness", 3, 2)
    for word in (*result["results"]["kinds"], "fine", "100 %", "yes"):
        assert word in shown
    assert command(robustness, "--chunks", 1, "--model", bundle(), "--quiet") == (0, "")


def test_report_fills_a_readme_and_checks_it(command: Command, tmp_path: Path) -> None:
    results, readme = tmp_path / "results", tmp_path / "README.md"
    results.mkdir()
    names = ("recall@1", "recall@5", "recall@10", "recall@20", "recall@50", "ndcg@10", "mrr")
    found = {
        "overall": {**dict.fromkeys(names, 0.5), "questions": 2},
        "by_category": {},
        "latency_ms": {"p50": 1.0, "p95": 2.0},
        "adds_per_second": 3.0,
    }
    made = build_result("recall", config={}, seed=0, seconds=1.0, results=found)
    write_result(results / "recall.json", made)
    empty = "# Us\n<!-- results:recall -->\n<!-- /results -->\n"
    readme.write_text(empty, encoding="utf-8")
    args = ("--results", results, "--into", readme)
    assert command(report, *args, "--check") == (1, "stale: recall in README.md\n")
    assert readme.read_text(encoding="utf-8") == empty
    assert command(report, *args) == (0, "written: recall in README.md\n")
    assert "| recall@10 |" in readme.read_text(encoding="utf-8")
    assert (results / "recall.png").exists()
    assert command(report, *args, "--check") == (0, "all are up to date\n")


def test_an_error_is_one_line(command: Command) -> None:
    def failing() -> None:
        """Fail."""
        raise InputError("there is nothing to measure")

    assert command(failing) == ("error: there is nothing to measure", "")
