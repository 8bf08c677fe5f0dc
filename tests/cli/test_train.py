"""The training commands, from corpus files to a bundle that a store accepts."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from agentmem.models.bundle.manifest import write_manifest
from agentmem_cli.exits import ExitCode
from tests.support.cli import Cli, bundle
from tests.support.training import make_teacher

# Digests give the tokenizer enough different pieces for all of its tokens.
TEXTS = [f"On day {n} Ana writes {hashlib.sha256(b'%d' % n).hexdigest()} down." for n in range(80)]
CORPUS = {
    "pages": [{"text": text} for text in TEXTS],
    "talk": [
        {"source": "talk", "messages": [{"content": one}, {"content": one[::-1]}]} for one in TEXTS
    ],
    "asked": [
        {
            "source": "asked",
            "kind": "span",
            "question": text[:20],
            "context": text,
            "answers": ["Ana"],
        }
        for text in TEXTS
    ],
}
RUN = """
name = "tiny"
precision = "no"
threads = 1
[optimizer]
steps = 2
[model]
vocab_size = 512
hidden_size = 64
intermediate_size = 64
num_attention_heads = 4
encoder_layers = 1
decoder_layers = 1
fourier_octaves = 5
[data]
tokenizer = "TOKENIZER"
tokens_per_step = 256
dev = ["pages.jsonl"]
[data.train]
"pages.jsonl" = 1.0
"""
KEYS = """
name = "tiny-keys"
threads = 1
tokenizer = "TOKENIZER"
questions = ["asked.jsonl"]
teacher = "TEACHER"
conversations = ["talk.jsonl"]
dev_questions = ["asked.jsonl"]
questions_per_step = 4
lessons_per_step = 4
[turns]
talk = 20
[optimizer]
steps = 2
[model]
hidden_size = 32
embedding_dims = 32
"""
RERANKER = """
name = "tiny-reranker"
threads = 1
tokenizer = "TOKENIZER"
autoencoder = "AUTOENCODER"
questions = ["asked.jsonl"]
dev_questions = ["asked.jsonl"]
questions_per_step = 4
candidates = 3
[optimizer]
steps = 2
[model]
hidden_size = 16
intermediate_size = 16
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for name, records in CORPUS.items():
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def write(path: Path, text: str, **places: Path) -> Path:
    for name, place in places.items():
        text = text.replace(name, place.as_posix())
    path.write_text(text, encoding="utf-8")
    return path


def test_all_parts_are_trained_and_make_a_bundle(tmp_path: Path, corpus: Path) -> None:
    cli, runs = Cli(tmp_path), tmp_path / "runs"
    tokenizer = tmp_path / "tokenizer"
    output = cli.json(
        *("train", "tokenizer", "--corpus", corpus, "--out", tokenizer, "--vocab-size", 512),
        *("pages.jsonl", "talk.jsonl"),
    )
    assert output == {"tokenizer": str(tokenizer)}
    config = write(tmp_path / "run.toml", RUN, TOKENIZER=tokenizer)
    args = ("train", "autoencoder", "--config", config, "--corpus", corpus, "--out", runs)
    assert cli.ok(*args, "--quiet") == f"{runs / 'tiny'}\n"
    teacher = make_teacher(tmp_path / "teacher")
    config = write(tmp_path / "keys.toml", KEYS, TOKENIZER=tokenizer, TEACHER=teacher)
    shown = cli.ok("train", "embedder", "--config", config, "--corpus", corpus, "--out", runs)
    assert str(runs / "tiny-keys" / "model") in shown
    made = tmp_path / "bundle"
    assembling = (
        *("train", "bundle", "--name", "mine", "--tokenizer", tokenizer, "--out", made),
        *("--autoencoder", runs / "tiny", "--embedder", runs / "tiny-keys"),
    )
    output = cli.json(*assembling)
    assert (output["bundle"], output["name"]) == (str(made), "mine")
    cli.ok("add", TEXTS[3], "--model", made)
    assert cli.ok("show", 1, "--quiet", "--model", made) == TEXTS[3]
    assert output["fingerprint"] in cli.ok("stats", "--model", made)

    # A reranker changes nothing that is stored.
    places = {"TOKENIZER": tokenizer, "AUTOENCODER": runs / "tiny" / "model"}
    config = write(tmp_path / "reranker.toml", RERANKER, **places)
    args = ("train", "reranker", "--config", config, "--corpus", corpus, "--out", runs)
    run = runs / "tiny-reranker"
    assert cli.json(*args) == {"run": str(run), "model": str(run / "model")}
    assert cli.ok(*args, "--quiet") == f"{run}\n"
    before = assembling
    assembling += ("--reranker", run)
    assert cli.json(*assembling) == output
    assert cli.ok("show", 1, "--quiet", "--model", made) == TEXTS[3]
    assert cli.json("model", "show", "--model", made)["runs"]["reranker"] == "tiny-reranker"
    assert "no problems" in cli.ok("model", "verify", "--model", made)
    message = cli.error(ExitCode.INPUT, *before)
    assert (
        "has a reranker, and none is given: name its folder with --reranker, or remove" in message
    )

    card = (made / "README.md").read_text()
    assert output["fingerprint"] in card
    assert "- autoencoder: `pages.jsonl`\n- keys: `asked.jsonl`, `talk.jsonl`\n" in card
    assert "- reranker: `asked.jsonl`\n" in card
    assert "| reranker | tiny-reranker | 2 | 0 |" in card
    assert cli.json("model", "show", "--model", made)["evaluation"] == {}
    # Assembled again with figures: the same weights.
    results = tmp_path / "results"
    results.mkdir()
    measured = {"overall": {"recall@5": 0.625}, "by_category": {}}
    result = {"task": "recall", "config": {"weights": output["fingerprint"]}, "results": measured}
    (results / "recall-mine.json").write_text(json.dumps(result))
    again = cli.json(*assembling, "--results", results)
    assert again == output
    assert "| recall@5 | 0.625 |" in (made / "README.md").read_text()
    figures = {"recall-mine": {"recall@5": 0.625}}
    assert cli.json("model", "show", "--model", made)["evaluation"] == figures
    # Figures of other weights are refused.
    result["config"] = {"weights": "0" * 16}
    (results / "recall-mine.json").write_text(json.dumps(result))
    message = cli.error(ExitCode.INPUT, *assembling, "--results", results)
    assert "'recall-mine.json' was measured with weights '0000000000000000'" in message
    assert not (made / "evaluation.json").exists()


def test_what_is_not_finished_replaces_nothing(tmp_path: Path) -> None:
    cli, runs = Cli(tmp_path), tmp_path / "runs"
    made = Path(shutil.copytree(bundle(), tmp_path / "bundle"))
    shutil.rmtree(made / "reranker")
    write_manifest(made, "mine")
    shutil.copytree(bundle() / "autoencoder", runs / "autoencoder" / "model")
    (runs / "keys").mkdir()
    assembling = (
        *("train", "bundle", "--name", "mine", "--out", made),
        *("--tokenizer", bundle() / "tokenizer"),
        *("--autoencoder", runs / "autoencoder", "--embedder", runs / "keys"),
    )
    message = cli.error(ExitCode.INPUT, *assembling)
    assert f"no keys in {str(runs / 'keys' / 'model')!r}: `agentmem train embedder`" in message
    shutil.copytree(bundle() / "keys", runs / "keys" / "model")
    for text in (None, "{"):
        if text is not None:
            (runs / "autoencoder" / "run.json").write_text(text)
        message = cli.error(ExitCode.INPUT, *assembling)
        assert f"{str(runs / 'autoencoder')!r} is not the folder of a run" in message
    # A reranker's run that has no model yet leaves the bundle as it is, too.
    content = {"name": "x", "seed": 1, "optimizer": {"steps": 1}, "data": {"train": {}}}
    for part in ("autoencoder", "keys"):
        (runs / part / "run.json").write_text(json.dumps(content))
    (runs / "reranker").mkdir()
    message = cli.error(ExitCode.INPUT, *assembling, "--reranker", runs / "reranker")
    assert f"no reranker in {str(runs / 'reranker' / 'model')!r}: `agentmem train rera" in message
    assert "no problems" in cli.ok("model", "verify", "--model", made)


@pytest.mark.parametrize(
    ("command", "text", "said"),
    [
        ("autoencoder", "name = 3 =", "run.toml"),
        ("autoencoder", RUN + "[more]\nx = 1", "more"),
        ("autoencoder", RUN.replace("steps = 2", "steps = 0"), "steps"),
        ("embedder", KEYS.replace("steps = 2", "stops = 2"), "stops"),
        ("reranker", RERANKER.replace("candidates = 3", "candidates = 1"), "candidates"),
    ],
    ids=["no toml", "unknown part", "out of range", "unknown key", "too few"],
)
def test_a_bad_configuration_is_one_line(
    tmp_path: Path, command: str, text: str, said: str
) -> None:
    config = write(tmp_path / "run.toml", text)
    message = Cli(tmp_path).error(
        ExitCode.INPUT, "train", command, "--config", config, "--corpus", tmp_path
    )
    assert "run.toml" in message
    assert said in message


@pytest.mark.parametrize(
    "args",
    [
        ("tokenizer", "--corpus", ".", "--out", "out", "nowhere.jsonl"),
        ("tokenizer", "--corpus", "nowhere", "--out", "out", "x.jsonl"),
        ("autoencoder", "--config", "nowhere.toml", "--corpus", "."),
        ("bundle", "--name", "x"),
    ],
    ids=["file", "corpus", "configuration", "parts"],
)
def test_what_is_missing_is_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[Any, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    Cli(tmp_path).error(ExitCode.USAGE, "train", *args)
    assert list(tmp_path.iterdir()) == []
