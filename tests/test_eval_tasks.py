"""The evaluation tasks end to end, on small files and a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentmem.errors import InputError
from agentmem.evaluation.fidelity import evaluate_fidelity
from agentmem.evaluation.recall import evaluate_recall
from agentmem.testing import tiny_bundle

FIDELITY = {
    "token_accuracy",
    "exact_chunks",
    "latent_bytes_per_token",
    "patch_bytes_per_token",
    "utf8_bytes_per_token",
    "byte_exact",
}
RECALL = {f"recall@{k}" for k in (1, 5, 10, 20, 50)} | {"ndcg@10", "mrr", "questions"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"))


def write_lines(path: Path, records: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_fidelity(bundle: Path, tmp_path: Path) -> None:
    talk = write_lines(
        tmp_path / "talk.jsonl",
        [{"id": str(i), "messages": [{"content": f"Turn {i}: hello 你好"}]} for i in range(30)],
    )
    text = write_lines(tmp_path / "text.jsonl", [{"id": "a", "text": "word " * 400}])
    done: list[tuple[int, int]] = []
    result = evaluate_fidelity([talk, text], model=bundle, on_progress=lambda *n: done.append(n))
    files = result.results["files"]
    assert set(files) == {"talk.jsonl", "text.jsonl"}
    for figures in (*files.values(), result.results["random_tokens"]):
        assert set(figures) >= FIDELITY
        # The tiny model starts, and stays, with a code of its own for every token.
        assert figures["token_accuracy"] == 1.0
        assert figures["byte_exact"] is True
        assert figures["latent_bytes_per_token"] == 2.0
    assert files["talk.jsonl"]["chunks"] == 30
    assert files["text.jsonl"]["rivals"]["id_packing"] == pytest.approx(9 / 8, abs=0.05)
    assert done[-1] == (3, 3)
    json.loads(result.to_json())


def test_fidelity_refuses_files_without_text(bundle: Path, tmp_path: Path) -> None:
    empty = write_lines(tmp_path / "empty.jsonl", [])
    with pytest.raises(InputError, match="holds no text"):
        evaluate_fidelity([empty], model=bundle)


def test_recall(bundle: Path, tmp_path: Path) -> None:
    words = ["apple", "bridge", "candle", "dragon", "engine"]
    file = write_lines(
        tmp_path / "talks.jsonl",
        [
            {
                "id": user,
                "messages": [
                    {"id": f"m{i}", "name": user, "content": f"{user} saw the {word} there"}
                    for i, word in enumerate(words)
                ],
                "questions": [
                    {"question": "the dragon", "evidence": ["m3"], "category": "thing"},
                    {"question": "bridge, candle?", "evidence": ["m1", "m2"]},
                ],
            }
            for user in ("ana", "bob")
        ],
    )
    result = evaluate_recall(file, model=bundle, mode="lexical")
    overall = result.results["overall"]
    assert set(overall) == RECALL
    assert overall["questions"] == 4
    assert overall["recall@5"] == 1.0
    assert overall["mrr"] == 1.0
    assert set(result.results["by_category"]) == {"none", "thing"}
    assert result.results["memories"] == 10
    assert result.results["adds_per_second"] > 0
    assert set(result.results["latency_ms"]) == {"p50", "p95"}
