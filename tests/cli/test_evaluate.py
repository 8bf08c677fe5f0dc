"""Evaluation commands: the result file and the table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentmem_cli.exits import ExitCode
from tests.support.cli import Cli

TEXTS = [f"Ana said on day {n} that she drinks tea number {n * 7}." for n in range(12)]
ENVELOPE = ["task", "config", "versions", "hardware", "seed", "seconds", "results"]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def write(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    return path


def conversation(name: str) -> dict[str, object]:
    return {
        "id": name,
        "messages": [
            {"id": f"m{n}", "name": "Ana", "content": text, "at": f"2026-05-{n + 1:02}T13:56:00Z"}
            for n, text in enumerate(TEXTS)
        ],
        "questions": [
            {"question": "which tea on day 3?", "evidence": ["m3"], "category": "one"},
            {"question": "which tea on days 4 and 5?", "evidence": ["m4", "m5"]},
        ],
    }


def test_fidelity(cli: Cli, tmp_path: Path) -> None:
    talk = write(tmp_path / "talk.jsonl", *[{"messages": [{"content": t}]} for t in TEXTS])
    pages = write(tmp_path / "pages.jsonl", *[{"text": t} for t in TEXTS])
    out = tmp_path / "fidelity.json"
    shown = cli.ok(
        *("eval", "fidelity", "--data", talk, "--data", pages, "--json", out, "--limit", 5),
        *("--seed", 3),
    )
    result = json.loads(out.read_text(encoding="utf-8"))
    assert list(result) == ENVELOPE
    assert (result["task"], result["seed"], result["config"]["limit"]) == ("fidelity", 3, 5)
    assert set(result["results"]["files"]) == {"talk.jsonl", "pages.jsonl"}
    for word in ("talk.jsonl", "pages.jsonl", "random tokens", "fine", "auto", "100 %", "yes"):
        assert word in shown


def test_recall(cli: Cli, tmp_path: Path) -> None:
    data = write(tmp_path / "asked.jsonl", conversation("c1"), conversation("c2"))
    out = tmp_path / "recall.json"
    shown = cli.ok(
        *("eval", "recall", "--data", data, "--json", out, "--limit", 1, "--mode", "lexical")
    )
    result = json.loads(out.read_text(encoding="utf-8"))
    assert list(result) == ENVELOPE
    assert result["results"]["overall"]["questions"] == 2
    assert result["config"]["mode"] == "lexical"
    assert result["results"]["overall"]["recall@20"] == 1.0
    for word in ("all", "one", "evidence: 2", "recall@10", "ms (p50)", "messages added per"):
        assert word in shown
    assert cli.ok("eval", "recall", "--data", data, "--quiet", "--limit", 1) == ""


def test_recall_of_documents(cli: Cli, tmp_path: Path) -> None:
    page = " ".join(TEXTS)
    start = page.index(TEXTS[5])
    question = {"question": "day 5", "spans": [[start, start + len(TEXTS[5])]]}
    data = write(tmp_path / "pages.jsonl", {"id": "p", "text": page, "questions": [question]})
    shown = cli.ok("eval", "recall", "--data", data, "--mode", "lexical")
    for word in ("precision@5", "iou@5", "evidence: 1", "documents added per"):
        assert word in shown
    folder = tmp_path / "collection"
    (folder / "qrels").mkdir(parents=True)
    write(folder / "corpus.jsonl", *[{"_id": str(n), "text": t} for n, t in enumerate(TEXTS)])
    write(folder / "queries.jsonl", {"_id": "q", "text": "day 7"})
    judged = "query-id\tcorpus-id\tscore\nq\t7\t1\n"
    (folder / "qrels" / "test.tsv").write_text(judged, encoding="utf-8")
    out = tmp_path / "recall.json"
    cli.ok("eval", "recall", "--data", folder, "--json", out, "--mode", "lexical")
    result = json.loads(out.read_text(encoding="utf-8"))
    assert result["results"]["overall"]["recall@5"] == 1
    assert result["config"]["data"] == "collection"


def test_a_result_that_could_not_be_written_is_refused_before_the_work(
    cli: Cli, tmp_path: Path
) -> None:
    data = write(tmp_path / "asked.jsonl", conversation("c1"))
    for task in ("recall", "fidelity"):
        args = ("eval", task, "--data", data, "--json", tmp_path / "nowhere" / "x.json")
        assert "'--json'" in cli.error(ExitCode.USAGE, *args)


def test_bad_data_is_bad_input(cli: Cli, tmp_path: Path) -> None:
    data = write(tmp_path / "asked.jsonl", {"id": "c1"})
    assert "asked.jsonl" in cli.error(ExitCode.INPUT, "eval", "recall", "--data", data)
    assert "neither" in cli.error(ExitCode.INPUT, "eval", "fidelity", "--data", data)
