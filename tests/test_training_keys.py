"""Training the key encoder: questions find their passages, and an interruption changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

from agentmem.errors import ConfigError
from agentmem.models.bundle import ModelBundle
from agentmem.models.keys.modeling import KeyEncoder
from agentmem.testing import tiny_bundle
from agentmem.training.assemble import assemble_bundle
from agentmem.training.config import KeysConfig, RunConfig, load_config
from agentmem.training.keys import train_keys

STEPS = 30
THINGS = [
    f"{colour} {thing}"
    for colour in ("red", "blue", "green", "old")
    for thing in ("train", "boat", "house", "coat", "lamp", "book", "dog", "car")
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``corpus/``, ``bundle/`` and room for runs."""
    root = tmp_path_factory.mktemp("keys")
    (root / "corpus").mkdir()
    questions = [
        {
            "kind": "answerable",
            "question": f"Where is the {thing}?",
            "context": f"I saw the {thing} again. It is at number {number}, near the river.",
            "answers": [f"number {number}"],
        }
        for number, thing in enumerate(THINGS)
    ]
    talks = [
        {
            "messages": [
                {"content": f"Did you sell the {thing}?"},
                {"content": f"Yes, the {thing} is sold."},
            ]
        }
        for thing in THINGS
    ]
    for name, records in (("questions.jsonl", questions), ("talks.jsonl", talks)):
        text = "".join(json.dumps(record) + "\n" for record in records)
        (root / "corpus" / name).write_text(text)
    tiny_bundle(root / "bundle")
    return root


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def config_of(place: Path, **changes: Any) -> KeysConfig:
    given: dict[str, Any] = {
        "name": "keys",
        "threads": 1,
        "autoencoder": str(place / "bundle" / "autoencoder"),
        "tokenizer": str(place / "bundle" / "tokenizer"),
        "questions": ["questions.jsonl"],
        "conversations": ["talks.jsonl"],
        "dev_questions": ["questions.jsonl"],
        "pairs_per_step": 12,
        "eval_every": 12,
        "save_every": 9,
        "model": {"hidden_size": 24, "key_dims": 20},
        "optimiser": {"steps": STEPS, "lr": 1e-2},
        **changes,
    }
    return KeysConfig.model_validate(given)


def train(place: Path, config: KeysConfig, **options: Any) -> Path:
    options.setdefault("out", place / "runs")
    return train_keys(config, corpus=place / "corpus", **options)


def logged(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        del row["pairs_per_s"]  # the clock's
    return rows


def assert_same_run(one: Path, other: Path) -> None:
    for name in ("model/model.safetensors", "checkpoint/model.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert logged(one) == logged(other)


@pytest.fixture(scope="module")
def uninterrupted(place: Path) -> tuple[Path, list[dict[str, Any]]]:
    """A finished run and the figures that it reported."""
    seen: list[dict[str, Any]] = []
    folder = train(place, config_of(place), report=lambda step, figures: seen.append(figures))
    return folder, seen


def test_it_learns(uninterrupted: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, seen = uninterrupted
    losses = [figures["loss"] for figures in seen]
    assert len(losses) == STEPS
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])
    rows = logged(folder)
    assert [row["step"] for row in rows] == [12, 24, STEPS]
    assert 1 >= rows[-1]["dev"]["top10"] >= rows[-1]["dev"]["top1"] > 0.5


def test_it_leaves_what_it_promises(
    uninterrupted: tuple[Path, list[dict[str, Any]]], place: Path
) -> None:
    folder, _ = uninterrupted
    assert {path.name for path in folder.iterdir()} == {
        "model",
        "metrics.jsonl",
        "run.json",
        "checkpoint",
    }
    assert KeysConfig.model_validate_json((folder / "run.json").read_text()) == config_of(place)
    model = AutoModel.from_pretrained(folder / "model")
    assert isinstance(model, KeyEncoder)
    assert (model.config.vocab_size, model.config.state_size) == (384, 64)
    last = load_file(folder / "checkpoint" / "model.safetensors")
    for name, weight in model.named_parameters():
        assert torch.equal(weight, last[name].bfloat16()), name


@pytest.mark.parametrize("stop", [1, 20])
def test_stopped_and_resumed_is_the_same_run(
    stop: int, uninterrupted: tuple[Path, list[dict[str, Any]]], place: Path, tmp_path: Path
) -> None:
    folder = train(place, config_of(place), stop_after=stop, out=tmp_path)
    assert not (folder / "model").exists()
    assert json.loads((folder / "checkpoint" / "state.json").read_text()) == {"step": stop}
    assert train(place, config_of(place), out=tmp_path) == folder
    assert_same_run(folder, uninterrupted[0])


def test_killed_between_checkpoints_is_the_same_run(
    uninterrupted: tuple[Path, list[dict[str, Any]]], place: Path, tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    def kill_at(last: int) -> Callable[[int, dict[str, Any]], None]:
        def report(step: int, figures: dict[str, Any]) -> None:
            if step == last:
                raise Killed

        return report

    # The second time after figures were logged that no checkpoint holds.
    for step in (4, 14):
        with pytest.raises(Killed):
            train(place, config_of(place), report=kill_at(step), out=tmp_path)
    assert_same_run(train(place, config_of(place), out=tmp_path), uninterrupted[0])


def test_the_autoencoder_stays_as_it_is(
    uninterrupted: tuple[Path, list[dict[str, Any]]], place: Path, tmp_path: Path
) -> None:
    weights = place / "bundle" / "autoencoder" / "model.safetensors"
    assert (
        weights.read_bytes()
        == (tiny_bundle(tmp_path) / "autoencoder" / "model.safetensors").read_bytes()
    )


def test_another_configuration_is_refused(
    uninterrupted: tuple[Path, list[dict[str, Any]]], place: Path
) -> None:
    with pytest.raises(ConfigError, match="run 'keys' exists with another configuration"):
        train(place, config_of(place, temperature=0.1))


def test_an_autoencoder_that_is_not_there(place: Path, tmp_path: Path) -> None:
    config = config_of(place, autoencoder="runs/none/model")
    with pytest.raises(ConfigError, match="no model in 'runs/none/model'"):
        train(place, config, out=tmp_path)


@pytest.mark.parametrize(
    ("key", "line", "named"),
    [
        ("", "sed = 3", "sed = 3: Extra inputs"),
        ("", "pairs_per_step = 1", "pairs_per_step = 1: "),
        ("", "temperature = 0", "temperature = 0: "),
        ("", "neighbour_share = 2", "neighbour_share = 2: "),
        ("[model]\n", "key_dim = 64", "model = .*unknown key 'key_dim'"),
        # The tokenizer and the autoencoder say these two.
        ("[model]\n", "vocab_size = 64", "model = .*unknown key 'vocab_size'"),
        ("[model]\n", "key_dims = 0", "model = .*key_dims=0 must be positive"),
    ],
    ids=lambda value: value.split(" ")[0] if " = " in value else "",
)
def test_errors_name_file_and_key(key: str, line: str, named: str, tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    base = 'name = "x"\nautoencoder = "a"\ntokenizer = "t"\nquestions = []\nconversations = []\n'
    base += "dev_questions = []\n"
    end = "\n[optimiser]\nsteps = 3\n"
    file.write_text(base + end)
    assert load_config(file, KeysConfig).pairs_per_step == 192
    file.write_text(base + key + line + end)
    with pytest.raises(ConfigError, match=f"'keys.toml': {named}"):
        load_config(file, KeysConfig)


def test_trained_parts_make_a_bundle(
    uninterrupted: tuple[Path, list[dict[str, Any]]], place: Path, tmp_path: Path
) -> None:
    folder, _ = uninterrupted
    run = tmp_path / "autoencoder-run"
    run.mkdir()
    (run / "model").symlink_to(place / "bundle" / "autoencoder")
    by_hand = {
        "name": "made by hand",
        "seed": 0,
        "data": {"train": {"mine.jsonl": 1.0}},
        "optimiser": {"steps": 1},
    }
    (run / "run.json").write_text(json.dumps(by_hand))
    parts = {"tokenizer": place / "bundle" / "tokenizer", "autoencoder": run, "keys": folder}
    manifest = assemble_bundle(tmp_path / "out", name="mine", **parts)
    # Again, with the bundle's own tokenizer folder as the source.
    parts["tokenizer"] = tmp_path / "out" / "tokenizer"
    again = assemble_bundle(tmp_path / "out", name="mine", **parts)
    assert again == manifest

    bundle = ModelBundle(tmp_path / "out")
    assert (bundle.name, bundle.fingerprint) == ("mine", manifest.fingerprint)
    training = json.loads((tmp_path / "out" / "training.json").read_text())
    assert training["autoencoder"] == by_hand
    assert training["keys"]["optimiser"]["steps"] == STEPS
    # What it learned is there: a question's own passage beats the mean of the others.
    passages = [f"I saw the {thing} again. It is at number 5." for thing in THINGS]
    keys = np.stack(
        [item.key for item in bundle.encode(list(map(bundle.tokenizer.encode, passages)))]
    )
    asked = np.stack(
        [bundle.query_key(bundle.tokenizer.encode(f"Where is the {thing}?")) for thing in THINGS]
    )
    scores = asked @ keys.T
    own = scores.diagonal()
    others = (scores.sum(1) - own) / (len(THINGS) - 1)
    assert (own > others).mean() > 0.9


def test_precisions_may_follow_each_other(place: Path, tmp_path: Path) -> None:
    # Accelerate keeps its first setting for the whole process; a notebook trains several things.
    from agentmem.training.autoencoder import train_autoencoder

    def run(name: str, precision: str) -> None:
        config = RunConfig.model_validate(
            {
                "name": name,
                "precision": precision,
                "threads": 1,
                "model": {"vocab_size": 384, "hidden_size": 64, "num_attention_heads": 4},
                "data": {
                    "train": {"talks.jsonl": 1},
                    "dev": [],
                    "tokenizer": str(place / "bundle" / "tokenizer"),
                    "tokens_per_step": 64,
                    "lengths": [8],
                },
                "optimiser": {"steps": 2},
            }
        )
        train_autoencoder(config, corpus=place / "corpus", out=tmp_path, stop_after=1)

    run("full", "no")
    train(place, config_of(place), out=tmp_path, stop_after=1)
    run("mixed", "bf16")
    train(place, config_of(place), out=tmp_path, stop_after=2)
