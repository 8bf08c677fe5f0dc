"""The model card agrees with the bundle and its training runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from agentmem.errors import ConfigError
from agentmem.models.bundle.inspect import describe_bundle
from agentmem.models.bundle.manifest import Manifest, write_manifest
from agentmem.models.reader.saving import load_config, save_reader
from agentmem.models.reranker.modeling import LatentReranker
from agentmem.testing import tiny_bundle
from agentmem.training.bundle.card import read_sources, write_card
from agentmem.training.bundle.figures import choose_figures
from tests.support.language_models import reading_model, tiny_lm

RUNS: dict[str, Any] = {
    "autoencoder": {
        "name": "ae-run",
        "seed": 3,
        "optimizer": {"steps": 12000},
        "data": {"train": {"train-documents-00.jsonl.zst": 0.5, "mine.jsonl": 0.5}},
    },
    "keys": {
        "name": "keys-run",
        "seed": 4,
        "optimizer": {"steps": 500},
        "questions": ["qa-train.jsonl.zst"],
        "conversations": ["train-conversations-00.jsonl.zst"],
    },
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("card"))


def card(made: Path, runs: dict[str, Any]) -> str:
    write_card(made, describe_bundle(made), runs)
    return (made / "README.md").read_text(encoding="utf-8")


def test_it_names_sources_and_licenses_of_what_was_trained_on(made: Path) -> None:
    text = card(made, RUNS)
    listed = {line for line in text.splitlines() if line.startswith("| ")}
    for source in read_sources():
        row = f"| {source.name} | {source.origin} | {source.license} |"
        assert (row in listed) == (source.kind != "structured"), source
    assert "not listed here for `mine.jsonl`." in text
    assert "| autoencoder | ae-run | 12,000 | 3 |" in text


def test_a_teacher_is_named(made: Path) -> None:
    taught = RUNS | {"keys": RUNS["keys"] | {"teacher": "some_encoder"}}
    assert "The keys also learned from what the sentence encoder of `some_encoder`" in card(
        made, taught
    )
    assert "sentence encoder" not in card(made, RUNS)


def test_of_another_corpus_it_claims_nothing(made: Path) -> None:
    data = {"data": {"train": {"train-noncommercial.jsonl.zst": 1.0}}}
    text = card(made, {"autoencoder": RUNS["autoencoder"] | data})
    assert "not listed here for `train-noncommercial.jsonl.zst`." in text
    assert "No source in this list" not in text
    assert "GitHub" not in text


def test_it_shows_every_figure(made: Path) -> None:
    (made / "evaluation.json").write_text(
        json.dumps({"fidelity": {"dev": {"dense": {"byte_exact": True, "exact_chunks": 0.97}}}})
    )
    text = card(made, RUNS)
    assert "### fidelity" in text
    assert "| dev / dense / byte_exact | True |" in text
    assert "| dev / dense / exact_chunks | 0.97 |" in text
    (made / "evaluation.json").unlink()
    assert "measured" not in card(made, RUNS).split("## How it was trained")[1].split("##")[1]


class TestReranker:
    RUN: dict[str, Any] = {
        "name": "reranker-run",
        "seed": 6,
        "optimizer": {"steps": 2000},
        "questions": ["qa-train.jsonl.zst"],
    }

    def test_its_sizes_and_data_are_listed(self, made: Path) -> None:
        text = card(made, {**RUNS, "reranker": self.RUN})
        row = next(line for line in text.splitlines() if line.startswith("| `reranker/` |"))
        network = LatentReranker.from_pretrained(made / "reranker")
        assert f" {sum(one.numel() for one in network.parameters()):,} " in row
        assert "a store is pinned to their fingerprint, which no file of the reranker is" in text
        assert "- reranker: `qa-train.jsonl.zst`" in text
        assert "| reranker | reranker-run | 2,000 | 6 |" in text

    def test_without_one_nothing_is_said_of_it(self, tmp_path: Path) -> None:
        bundle = tiny_bundle(tmp_path)
        shutil.rmtree(bundle / "reranker")
        write_manifest(bundle, "plain")
        text = card(bundle, RUNS)
        assert "rerank" not in text
        assert "a store is pinned to their fingerprint;" in text


def test_the_card_names_the_reader_and_its_language_model(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path)
    save_reader(reading_model(tiny_lm()), bundle / "reader")
    write_manifest(bundle, "reading")
    run = {**TestReranker.RUN, "name": "reader-run", "optimizer": {"steps": 750}}
    text = card(bundle, {**RUNS, "reader": run})
    config = load_config(bundle / "reader")
    assert f"`{config.language_model}`, which stays as it is" in text
    assert "no file of the reranker or the reader is part of" in text
    assert "| `reader/` |" in text
    assert "- reader: `qa-train.jsonl.zst`" in text
    assert "| reader | reader-run | 750 | 6 |" in text


def test_no_source_is_under_a_non_commercial_license() -> None:
    sources = read_sources()
    assert len({(source.kind, source.name) for source in sources}) == len(sources) == 75
    for source in sources:
        assert source.name
        assert source.origin
        assert source.license
        assert "NC" not in source.license
        assert "commercial" not in source.license


class TestFigures:
    BUNDLE = Manifest(
        name="mine", format=1, files={"autoencoder/config.json": "1", "keys/config.json": "2"}
    )
    FIDELITY = {
        "token_accuracy": 0.9999,
        "exact_chunks": 0.99,
        "exact_chunks_64": 0.995,
        "stored_bytes_per_token": 1.9,
        "patch_share": 0.1,
        "byte_exact": True,
    }

    def write(self, folder: Path, task: str, results: dict[str, Any]) -> None:
        # What asks for keys depends on the keys too.
        asks = task in ("recall", "speed")
        weights = self.BUNDLE.fingerprint if asks else self.BUNDLE.latents_fingerprint
        result = {"task": task, "config": {"weights": weights}, "results": results}
        (folder / f"{task}-mine.json").write_text(json.dumps(result))

    def test_headline_figures_of_each_task(self, tmp_path: Path) -> None:
        texts = {"quantizations": {"dense": self.FIDELITY}}
        self.write(tmp_path, "fidelity", {"files": {"dev": texts}, "random_tokens": texts})
        self.write(tmp_path, "robustness", {"kinds": {"hex": texts}})
        self.write(tmp_path, "fusion", {"grid": []})
        row = {"encoder": "keys", "tokens": 64, "entropy_ratio": 0.5, "gain": 0.4}
        self.write(
            tmp_path, "retention", {"encoders": [row | {"token_accuracy": 0.3, "nats": 4.5}]}
        )
        speeds = {"models": {"encode, verify, key": 700.0}}
        self.write(
            tmp_path,
            "speed",
            {
                "adds_per_second": 500.0,
                "recall": [{"memories": 6000, "rerank": None, "p50": 3.0}],
                **speeds,
            },
        )
        kept = {name: value for name, value in self.FIDELITY.items() if name != "patch_share"}
        assert choose_figures(tmp_path, self.BUNDLE) == {
            "fidelity-mine": {"dev": {"dense": kept}, "random tokens": {"dense": kept}},
            "robustness-mine": {"hex": {"dense": kept}},
            "retention-mine": {
                "keys, 64 tokens": {"entropy_ratio": 0.5, "gain": 0.4, "token_accuracy": 0.3}
            },
            "speed-mine": {
                "adds_per_second": 500.0,
                "writes_per_second": 700.0,
                "recall_ms": {"6,000 memories, not reranked": 3.0},
            },
        }

    @pytest.mark.parametrize("text", ["{", "[]", "{}", '{"task": "recall", "config": {}}'])
    def test_a_file_that_is_not_a_result(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(ConfigError, match=r"'x.json' is not a result file"):
            choose_figures(tmp_path, self.BUNDLE)

    @pytest.mark.parametrize("part", ["autoencoder", "keys"])
    def test_result_files_of_other_weights(self, tmp_path: Path, part: str) -> None:
        self.write(tmp_path, "recall", {"overall": {}})
        other = Manifest(
            name="mine", format=1, files=self.BUNDLE.files | {f"{part}/config.json": "3"}
        )
        message = f"weights '.*', the bundle's are '{other.fingerprint}': measure again"
        with pytest.raises(ConfigError, match=message):
            choose_figures(tmp_path, other)

    def test_result_files_with_another_embedder(self, tmp_path: Path) -> None:
        """What never asked for a key is true of a bundle with any."""
        self.write(tmp_path, "robustness", {"kinds": {}})
        other = Manifest(name="mine", format=1, files=self.BUNDLE.files | {"keys/config.json": "3"})
        assert choose_figures(tmp_path, other) == {"robustness-mine": {}}
        other = Manifest(
            name="mine", format=1, files=self.BUNDLE.files | {"autoencoder/config.json": "3"}
        )
        with pytest.raises(ConfigError, match=f"are '{other.latents_fingerprint}': measure again"):
            choose_figures(tmp_path, other)
