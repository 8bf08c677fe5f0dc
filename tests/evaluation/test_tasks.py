"""The evaluation tasks end to end, on small files and a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentmem.errors import InputError
from agentmem.evaluation.fidelity import evaluate_fidelity
from agentmem.evaluation.recall import evaluate_recall
from agentmem.models.base import MIN_FIDELITY
from agentmem.models.bundle.load import ModelBundle
from agentmem.testing import tiny_bundle

FIDELITY = {
    "token_accuracy",
    "exact_chunks",
    "exact_chunks_64",
    "latent_bytes_per_token",
    "patch_bytes_per_token",
    "stored_bytes_per_token",
    "patch_share",
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
    quantizations = ModelBundle(bundle).codec.quantizations
    assert set(files) == {"talk.jsonl", "text.jsonl"}
    for text in (*files.values(), result.results["random_tokens"]):
        assert list(text["quantizations"]) == [*quantizations, "auto"]
        for figures in text["quantizations"].values():
            assert set(figures) == FIDELITY
            assert figures["byte_exact"] is True
        finest, auto = text["quantizations"][quantizations[0]], text["quantizations"]["auto"]
        # The tiny model starts, and stays, with a code of its own for every token.
        assert finest["token_accuracy"] == finest["exact_chunks_64"] == 1.0
        assert auto["token_accuracy"] >= MIN_FIDELITY
        assert auto["latent_bytes_per_token"] <= finest["latent_bytes_per_token"]
    assert files["talk.jsonl"]["chunks"] == files["talk.jsonl"]["chunks_64"] == 30
    # Long text is cut into more chunks where they are shorter.
    assert files["text.jsonl"]["chunks_64"] > files["text.jsonl"]["chunks"] > 1
    baselines = files["text.jsonl"]["baselines"]
    assert baselines["id_packing"] == pytest.approx(9 / 8, abs=0.05)
    # The text is one word, said again: short codes for few tokens.
    assert baselines["id_huffman"] < baselines["id_packing"] / 2
    assert done[-1] == (3, 3)
    json.loads(result.to_json())


def test_fidelity_of_short_chunks_is_measured_on_some_of_them(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentmem.evaluation.fidelity._SHORT_CHUNKS", 7)
    text = write_lines(tmp_path / "text.jsonl", [{"id": "a", "text": "word " * 400}])
    assert evaluate_fidelity([text], model=bundle).results["files"]["text.jsonl"]["chunks_64"] == 7


def test_fidelity_refuses_files_without_text(bundle: Path, tmp_path: Path) -> None:
    empty = write_lines(tmp_path / "empty.jsonl", [])
    with pytest.raises(InputError, match="contains no text"):
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
    assert {
        name: scores["questions"] for name, scores in result.results["by_evidence"].items()
    } == {"1": 2, "2": 2}
    assert result.results["added"] == "messages"
    assert result.results["memories"] == 10
    assert result.results["adds_per_second"] > 0
    assert set(result.results["latency_ms"]) == {"p50", "p95"}
