"""Tables and plots from result files, and the Markdown files that hold them."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from agentmem.errors import InputError, MissingExtraError
from agentmem.evaluation.result import build_result, write_result
from benchmarks.report.plots import draw_plots, plot_bytes, plot_recall
from benchmarks.report.tables import render, update_tables

MEASURED: dict[str, Any] = {
    "token_accuracy": 0.99996,
    "exact_chunks": 1.0,
    "exact_chunks_64": 0.75,
    "latent_bytes_per_token": 2.0,
    "patch_bytes_per_token": 0.0123,
    "stored_bytes_per_token": 2.0123,
    "patch_share": 0.00611,
    "byte_exact": True,
}
DENSE = {**MEASURED, "token_accuracy": 0.5, "latent_bytes_per_token": 1.0, "byte_exact": False}
TEXT = {"utf8_bytes_per_token": 4.126, "quantizations": {"standard": MEASURED, "dense": DENSE}}
BASELINES = {"zstd": 2.9, "zstd_dictionary": 1.85, "id_packing": 1.625, "id_huffman": 1.41}
FIDELITY = {"files": {"dev-a.jsonl.zst": {**TEXT, "baselines": BASELINES}}, "random_tokens": TEXT}
ROBUSTNESS = {
    "kinds": {
        "UUIDs": TEXT,
        "emoji": {**TEXT, "quantizations": {"standard": MEASURED, "dense": MEASURED}},
    }
}
SCORES = {
    "recall@1": 0.1,
    "recall@5": 0.25,
    "recall@10": 0.5,
    "recall@20": 0.75,
    "recall@50": 1.0,
    "ndcg@10": 0.4444,
    "mrr": 0.3,
    "questions": 1982,
}
RECALL = {
    "overall": SCORES,
    "by_category": {"temporal": {**SCORES, "questions": 321}},
    "latency_ms": {"p50": 12.34, "p95": 20.0},
    "adds_per_second": 71.6,
}
PERSONAL = {"questions": 120, "right": 76, "wrong": 6, "abstained": 38, "answerable": 90}
ASKED = {
    "answerable": 727,
    "f1": 0.4244,
    "f1_interval": [0.3908, 0.4562],
    "unanswerable": 90,
    "unanswerable_abstained": 0.9444,
}
READING = {
    "text": {
        "qa-dev": ASKED,
        "LoCoMo, k = 8": {**ASKED, "answerable": 400, "f1": 0.205},
        "personal, k = 8": PERSONAL,
        "personal, k = 16": {**PERSONAL, "right": 67},
    },
    "no memory": {"qa-dev": ASKED},
}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    for name, task, measured in (
        ("fidelity", "fidelity", FIDELITY),
        ("recall-locomo", "recall", RECALL),
        ("robustness", "robustness", ROBUSTNESS),
        ("speed", "another task", {}),
    ):
        result = build_result(task, config={}, seed=3, seconds=1.0, results=measured, gpu="H100")
        write_result(folder / f"{name}.json", result)
    return folder


def cells(table: str) -> list[list[str]]:
    rows = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_fidelity_table(results: Path) -> None:
    table = render(results)["fidelity"]
    head, rule, fine, coarse, random, _ = cells(table)
    assert len({len(row) for row in cells(table)}) == 1
    assert head[:2] == ["Text", "Quantization"]
    assert rule[1] == "---:"
    # 99.996 % is not all. As the shipped bundle calls them: "standard" and "dense".
    assert fine[:5] == ["dev-a.jsonl.zst", "fine", "99.99 %", "100 %", "75.00 %"]
    assert fine[5:9] == ["2.00", "0.012", "2.01", "4.13"]
    assert fine[9:] == ["2.90", "1.85", "1.62", "1.41", "yes"]
    assert coarse[:3] == ["dev-a.jsonl.zst", "coarse", "50.00 %"]
    assert (coarse[5], coarse[-1]) == ("1.00", "NO")
    assert random[0] == "random tokens"
    assert random[9:] == ["–", "–", "–", "–", "yes"]
    assert "seed 3, H100" in table


def test_the_robustness_table(results: Path) -> None:
    head, _, uuids, emoji = cells(render(results)["robustness"])
    assert len(head) == len(uuids) == 11
    assert [head[2], head[6]] == ["fine: tokens right", "coarse: tokens right"]
    assert uuids[:6] == ["UUIDs", "4.13", "99.99 %", "100 %", "2.01", "0.6 %"]
    assert uuids[6:8] == ["50.00 %", "100 %"]
    # One quantization that is not exact is enough for a NO.
    assert (uuids[-1], emoji[-1]) == ("NO", "yes")


def test_the_recall_table(results: Path) -> None:
    table = render(results)["recall-locomo"]
    _, _, overall, temporal = cells(table)
    assert overall == "all 0.100 0.250 0.500 0.750 1.000 0.444 0.300 1,982".split()
    assert (temporal[0], temporal[-1]) == ("temporal", "321")
    assert "12.3 ms (p50), 20.0 ms (p95); 72 messages" in table


def test_the_recall_table_by_evidence(tmp_path: Path) -> None:
    groups = {"1": SCORES, "3-5": {**SCORES, "recall@10": 0.31, "questions": 60}}
    made = build_result(
        "recall",
        config={},
        seed=0,
        seconds=1.0,
        results={**RECALL, "by_evidence": groups, "added": "documents"},
    )
    write_result(tmp_path / "recall.json", made)
    table = render(tmp_path)["recall"]
    head, _, one, some = cells(table)[4:]
    assert head[0] == "Pieces of evidence"
    assert (one[0], one[-1]) == ("1", "1,982")
    assert (some[0], some[3], some[-1]) == ("3-5", "0.310", "60")
    assert "72 documents are added per second" in table


def test_the_table_of_kinds(tmp_path: Path) -> None:
    means = {"first": 0.5, "top 3": 0.6, "recall@5": 0.7, "recall@10": 0.8, "ndcg@10": 0.65}
    asked = {**means, "before distractors": 0.25, "questions": 9}
    halves = {
        "fit": {"all": {**asked, "ndcg@10": 0.75}},
        "held-out": {"all": asked, "now": {**asked, "questions": 4}},
    }
    found = {
        "changes": {"memories": 1_200, "users": 40, "systems": {"BM25": halves}},
        "notes": {
            "memories": 500,
            "users": 1,
            "systems": {"BM25": {"fit": {"all": {**means, "questions": 7}}, "held-out": {}}},
        },
    }
    made = build_result("kinds", config={}, seed=0, seconds=1.0, results=found)
    write_result(tmp_path / "kinds.json", made)
    table = render(tmp_path)["kinds"]
    head, _, changes, notes, parts, _, now = cells(table)
    assert len(head) == len(changes) == len(notes)
    assert changes == "changes: BM25|0.500|0.700|0.800|0.650|0.750|9".split("|")
    assert notes == ["notes: BM25", "–", "–", "–", "–", "0.650", "0"]
    assert now == ["changes, now: BM25", "0.500", "0.600", "0.250", "4"]
    assert len(parts) == len(now)
    assert "changes 1,200 of 40 users, notes 500 of 1 user." in table


def test_the_startup_table(tmp_path: Path) -> None:
    found = {
        "installed": {"packages": 25, "bytes": 123_400_000},
        "commands": [{"command": "agentmem stats", "cpu_s": 0.256, "wall_s": 0.3}],
    }
    made = build_result("startup", config={}, seed=0, seconds=1.0, results=found)
    write_result(tmp_path / "startup.json", made)
    table = render(tmp_path)["startup"]
    assert cells(table)[-1] == ["`agentmem stats`", "0.26 s", "0.30 s"]
    assert "The base install: 25 packages, 123 MB with the models." in table


def test_the_reading_table(tmp_path: Path) -> None:
    made = build_result("reading", config={}, seed=3, seconds=1.0, results=READING, gpu="H200")
    without = replace(made, versions={"torch": "2"})
    write_result(tmp_path / "reading.json", without)
    table = render(tmp_path)["reading"]
    head, _, text, nothing = cells(table)
    assert len(head) == len(text) == len(nothing)
    assert text[1:7] == ["76", "6", "38", "67", "6", "38"]
    assert text[7:9] == ["–", "–"]
    assert text[9:] == ["0.424 (0.391 to 0.456)", "94.44 %", "0.205"]
    assert nothing[1:7] == ["–"] * 6
    assert "120 questions on personal facts, 90 of them answerable" in table
    assert table.endswith("<sub>seed 3, H200</sub>")


def test_the_compression_table(tmp_path: Path) -> None:
    row = {"f1": 0.5, "f1_interval": [0.4, 0.6], "exact": 0.25, "abstained": 0.125}
    ratios = {"1": {**row, "of_all_states": 1.0}, "4": {**row, "f1": 0.45, "of_all_states": 0.9}}
    found = {"questions": 400, "ratios": ratios}
    made = build_result("reading-compression", config={}, seed=3, seconds=1.0, results=found)
    write_result(tmp_path / "reading-compression.json", made)
    table = render(tmp_path)["reading-compression"]
    whole, quarter = cells(table)[-2:]
    assert whole == ["1", "0.500 (0.400 to 0.600)", "100.0 %", "25.00 %", "12.50 %"]
    assert quarter[:3] == ["4", "0.450 (0.400 to 0.600)", "90.0 %"]
    assert "400 questions of qa-dev" in table


def test_only_known_tasks_have_tables(results: Path) -> None:
    assert list(render(results)) == ["fidelity", "recall-locomo", "robustness"]


@pytest.mark.parametrize("text", ["{torn", "[]", "{}", '{"task": "recall", "results": {}}'])
def test_a_file_that_is_no_result_is_named(results: Path, text: str) -> None:
    (results / "bad.json").write_text(text)
    with pytest.raises(InputError, match=r"bad\.json is not a result file"):
        render(results)


README = """# Title
<!-- results:recall-locomo -->
an old table
<!-- /results -->
between
<!-- results:fidelity --><!-- /results -->
after
"""


def test_a_readme_is_brought_up_to_date_once(tmp_path: Path, results: Path) -> None:
    readme, tables = tmp_path / "README.md", render(results)
    readme.write_text(README)
    assert update_tables(readme, results, check=True) == ("recall-locomo", "fidelity")
    assert readme.read_text() == README
    assert update_tables(readme, results) == ("recall-locomo", "fidelity")
    assert readme.read_text() == (
        "# Title\n<!-- results:recall-locomo -->\n"
        + tables["recall-locomo"]
        + "\n<!-- /results -->\nbetween\n<!-- results:fidelity -->\n"
        + tables["fidelity"]
        + "\n<!-- /results -->\nafter\n"
    )
    assert update_tables(readme, results) == update_tables(readme, results, check=True) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- results:fidelity -->\n", "marker of 'fidelity' has no end"),
        ("<!-- results:fidelity -->\n" + README, "marker of 'fidelity' has no end"),
        ("<!-- results:none -->\n<!-- /results -->", "wants 'none', which is not among"),
    ],
    ids=["no end", "end of another", "unknown"],
)
def test_a_wrong_marker_changes_nothing(
    tmp_path: Path, results: Path, text: str, message: str
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(InputError, match=message):
        update_tables(readme, results)
    assert readme.read_text() == text


def test_plots_are_pictures_and_do_not_change_from_run_to_run(tmp_path: Path) -> None:
    for name, draw, measured in (("r", plot_recall, RECALL), ("b", plot_bytes, FIDELITY)):
        one, two = tmp_path / f"{name}1.png", tmp_path / f"{name}2.png"
        draw(measured, one)
        draw(measured, two)
        assert one.read_bytes() == two.read_bytes()
        with Image.open(one) as picture:
            picture.load()
            assert picture.format == "PNG"
            assert picture.width > 800


def test_every_result_with_a_plot_is_drawn_beside_its_file(tmp_path: Path) -> None:
    for task, measured in (("recall", RECALL), ("fidelity", FIDELITY), ("other", {})):
        (tmp_path / f"{task}.json").write_text(json.dumps({"task": task, "results": measured}))
    assert draw_plots(tmp_path) == (tmp_path / "fidelity.png", tmp_path / "recall.png")
    assert (tmp_path / "recall.png").stat().st_size > 1_000


def test_without_matplotlib_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(
        MissingExtraError, match=r"pip install 'latent-agentmem\[train\]'"
    ) as raised:
        plot_recall(RECALL, tmp_path / "r.png")
    assert raised.value.extra == "train"
    assert list(tmp_path.iterdir()) == []


def test_the_torture_table(tmp_path: Path) -> None:
    counts = dict.fromkeys(
        ("duplicated", "in_part", "leaked", "left_behind", "damaged", "failed"), 0
    )
    part = {"calls": 1_234, "acknowledged": 40_000, "found": 39_998, "lost": 2, **counts}
    found = {
        "kills": {"rounds": 2_000, **part},
        "power": {"rounds": 500, "encrypted": 120, **part},
        "servers": {"rounds": 60, **part},
        "crowd": {"rounds": 100_160, "processes": 2, "threads": 4, **part},
    }
    made = build_result("torture", config={}, seed=0, seconds=1.0, results=found)
    write_result(tmp_path / "torture.json", made)
    head, _, kills, power, servers, crowd = cells(render(tmp_path)["torture"])
    assert len({len(row) for row in (head, kills, power, servers, crowd)}) == 1
    assert kills[:5] == ["2,000 processes killed", "1,234", "40,000", "39,998", "2"]
    assert power[0] == "500 power cuts, 120 of them at encrypted stores"
    assert servers[0] == "60 deaths of a PostgreSQL server, or of what worked on it"
    assert crowd[0] == "100,160 calls of 4 threads in each of 2 processes"
    assert set(crowd[5:]) == {"0"}


def test_the_supersession_table(tmp_path: Path) -> None:
    half = {"right": 4, "right found": 3, "wrong": 1200, "wrong found": 2}
    result = build_result(
        "supersession",
        config={},
        seed=0,
        seconds=1.0,
        results={"kinds": {"changes": {"fit": half}}},
    )
    write_result(tmp_path / "supersession.json", result)
    assert cells(render(tmp_path)["supersession"])[2] == ["changes, fit", "3 of 4", "2 of 1,200"]
