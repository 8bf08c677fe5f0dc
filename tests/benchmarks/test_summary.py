"""The short table of the README, from several result files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentmem.errors import InputError
from agentmem.evaluation.result import build_result, write_result
from benchmarks.report.summary import NEEDED
from benchmarks.report.tables import render

LEVEL = {"token_accuracy": 0.9999, "stored_bytes_per_token": 1.064, "byte_exact": True}
TEXT = {"utf8_bytes_per_token": 3.6, "quantizations": {"auto": LEVEL}}
SPEED = {
    "adds_per_second": 258.8,
    "tokens_per_second": 9000.0,
    "models": {},
    "write_over_minilm": 2.0,
    "write_over_minilm_bf16": 1.2,
    "recall": [
        {"memories": 6000, "rerank": "latent", "p50": 20.0, "p95": 30.0},
        {"memories": 100000, "rerank": "latent", "p50": 37.94, "p95": 90.2},
        {"memories": 100000, "rerank": None, "p50": 21.0, "p95": 70.0},
    ],
}


def system(name: str, found: float) -> dict[str, Any]:
    return {"name": name, "error": None, "inside": {"overall": {"recall@10": found}}}


SYSTEMS = [
    system("agentmem", 0.77),
    system("BM25, stemmed", 0.573),
    system("all-MiniLM-L6-v2", 0.428),
    {"name": "another", "error": "it fell over"},
]


def summary(folder: Path, monkeypatch: pytest.MonkeyPatch, **changed: Any) -> str:
    # Their own tables need more of these files than the summary does.
    tables = dict.fromkeys(NEEDED, lambda _: ["a table"])
    monkeypatch.setattr("benchmarks.report.tables._TABLES", tables)
    files = {"dev-conversations.jsonl.zst": TEXT}
    measured: dict[str, Any] = {
        "fidelity": {"files": files, "random_tokens": TEXT},
        "sidebyside": {"questions": 1982, "systems": SYSTEMS},
        "speed": SPEED,
        **changed,
    }
    for name, results in measured.items():
        made = build_result(name, config={}, seed=0, seconds=1.0, results=results, gpu="H100")
        write_result(folder / f"{name}.json", made)
    return render(folder)["summary"]


def test_the_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = summary(tmp_path, monkeypatch).splitlines()
    assert rows[0] == "| Figure | agentmem |"
    assert [row.split(" | ")[-1].rstrip(" |") for row in rows[2:8]] == [
        *("yes", "99.99 %", "1.06", "0.770", "21.0 / 70.0 ms", "259")
    ]
    assert "BM25, stemmed 0.573, all-MiniLM-L6-v2 0.428" in rows[5]
    assert "with 100,000 memories" in rows[6]
    assert rows[-1].endswith("H100</sub>")


def test_a_text_that_is_not_exact_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {**TEXT, "quantizations": {"auto": {**LEVEL, "byte_exact": False}}}
    files = {"dev-conversations.jsonl.zst": TEXT}
    made = summary(tmp_path, monkeypatch, fidelity={"files": files, "random_tokens": broken})
    assert "| NO |" in made


def test_a_missing_system_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"no summary of .*BM25, stemmed"):
        summary(tmp_path, monkeypatch, sidebyside={"questions": 1, "systems": SYSTEMS[:1]})
