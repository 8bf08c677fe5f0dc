"""Training the embedder: questions find their passages, and resuming is exact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from agentmem.errors import ConfigError
from agentmem.models.bundle.load import ModelBundle
from agentmem.models.embedder.modeling import EmbedderModel
from agentmem.models.layers.tensors import pad
from agentmem.models.reader.saving import save_reader
from agentmem.models.tokenizer import ByteTokenizer
from agentmem.testing import tiny_bundle
from agentmem.training.autoencoder.config import RunConfig
from agentmem.training.bundle.assemble import assemble_bundle
from agentmem.training.config import load_config
from agentmem.training.data.evidence import EvidenceSet, read_evidence
from agentmem.training.embedder.config import EmbedderRunConfig
from agentmem.training.embedder.distillation_texts import choose_texts
from agentmem.training.embedder.train import train_embedder
from tests.support.language_models import reading_model, tiny_lm
from tests.support.training import Killed, assert_same_run, kill_at, logged, make_teacher

pytestmark = pytest.mark.usefixtures("threads_as_before")

STEPS = 30
THINGS = [
    f"{color} {thing}"
    for color in ("red", "blue", "green", "old")
    for thing in ("train", "boat", "house", "coat", "lamp", "book", "dog", "car")
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``corpus/``, ``bundle/`` and room for runs."""
    root = tmp_path_factory.mktemp("keys")
    (root / "corpus").mkdir()
    questions = [
        {
            "source": "things",
            "kind": "answerable",
            "question": f"Where is the {thing}?",
            "context": f"I saw the {thing} again. It is at number {number}, near the river.",
            "answers": [f"number {number}"],
        }
        for number, thing in enumerate(THINGS)
    ]
    talks = [
        {
            "source": "talk",
            "messages": [
                {"name": "Ana", "content": f"Did you sell the {thing}?"},
                {"name": "Bo", "content": f"Yes, the {thing} is sold."},
            ],
        }
        for thing in THINGS
    ]
    for name, records in (("questions.jsonl", questions), ("talks.jsonl", talks)):
        text = "".join(json.dumps(record) + "\n" for record in records)
        (root / "corpus" / name).write_text(text)
    tiny_bundle(root / "bundle")
    make_teacher(root / "teacher")
    return root


def config_of(place: Path, **changes: Any) -> EmbedderRunConfig:
    given: dict[str, Any] = {
        "name": "keys",
        "threads": 1,
        "tokenizer": str(place / "bundle" / "tokenizer"),
        "questions": ["questions.jsonl"],
        "dev_questions": ["questions.jsonl"],
        "questions_per_step": 12,
        "eval_every": 12,
        "save_every": 9,
        "model": {"hidden_size": 32, "num_hidden_layers": 1, "embedding_dims": 20},
        "optimizer": {"steps": STEPS, "lr": 1e-2},
        **changes,
    }
    return EmbedderRunConfig.model_validate(given)


def taught_by_one(place: Path, **changes: Any) -> EmbedderRunConfig:
    """A run with a teacher beside the questions."""
    lessons = {
        "name": "taught",
        "teacher": str(place / "teacher"),
        "conversations": ["talks.jsonl"],
        "turns": {"talk": 50},
        "questions_per_source": 20,
        "lessons_per_step": 12,
    }
    return config_of(place, **lessons, **changes)


def train(place: Path, config: EmbedderRunConfig, **options: Any) -> Path:
    options.setdefault("out", place / "runs")
    return train_embedder(config, corpus=place / "corpus", **options)


@pytest.fixture(scope="module")
def uninterrupted(place: Path) -> tuple[Path, list[dict[str, Any]]]:
    """A finished run and the figures that it reported."""
    seen: list[dict[str, Any]] = []
    folder = train(place, config_of(place), report=lambda step, figures: seen.append(figures))
    return folder, seen


@pytest.fixture(scope="module")
def taught(place: Path) -> tuple[Path, list[dict[str, Any]]]:
    """The same with a teacher."""
    seen: list[dict[str, Any]] = []
    folder = train(place, taught_by_one(place), report=lambda step, figures: seen.append(figures))
    return folder, seen


def test_it_learns(uninterrupted: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, seen = uninterrupted
    losses = [figures["loss"] for figures in seen]
    assert len(losses) == STEPS
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])
    rows = logged(folder)
    assert [row["step"] for row in rows] == [12, 24, STEPS]
    assert 1 >= rows[-1]["dev"]["top10"] >= rows[-1]["dev"]["top1"] > 0.5


def test_it_leaves_the_documented_files(
    uninterrupted: tuple[Path, list[dict[str, Any]]], place: Path
) -> None:
    folder, _ = uninterrupted
    assert {path.name for path in folder.iterdir()} == {
        "model",
        "metrics.jsonl",
        "run.json",
        "checkpoint",
    }
    assert EmbedderRunConfig.model_validate_json((folder / "run.json").read_text()) == config_of(
        place
    )
    state = torch.load(folder / "checkpoint" / "optimizer.pt", weights_only=True)
    assert [group["eps"] for group in state["param_groups"]] == [config_of(place).optimizer.eps]
    model = EmbedderModel.from_pretrained(folder / "model")
    assert (model.config.vocab_size, model.config.embedding_dims) == (384, 20)
    last = load_file(folder / "checkpoint" / "model.safetensors")
    for name, weight in model.named_parameters():
        assert torch.equal(weight, last[f"embedder.{name}"].bfloat16().float()), name


def test_a_teacher_is_followed(
    taught: tuple[Path, list[dict[str, Any]]],
    uninterrupted: tuple[Path, list[dict[str, Any]]],
    place: Path,
) -> None:
    folder, seen = taught
    losses = [figures["loss"] for figures in seen]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    # What it learned from, and what it began with, are kept beside the runs: texts and tokens.
    texts = choose_texts(
        [place / "corpus" / "talks.jsonl"],
        {"talk": 50},
        EvidenceSet(read_evidence([place / "corpus" / "questions.jsonl"])).by_source,
        20,
        taught_by_one(place).seed,
    )
    kept = {len(found): found for found in map(np.load, (place / "runs" / "cache").iterdir())}
    assert set(kept) == {len(texts), 384}
    vectors = kept[len(texts)].astype(np.float32)
    # Angles between keys are more like those between the teacher's vectors than without it.
    batch = pad(ByteTokenizer.from_folder(place / "bundle" / "tokenizer").encode_batch(texts))
    apart = []
    for run in (folder, uninterrupted[0]):
        model = EmbedderModel.from_pretrained(run / "model")
        with torch.no_grad():
            keys = model(*batch).numpy()
        apart.append(float(np.abs(keys @ keys.T - vectors @ vectors.T).mean()))
    assert apart[0] < 0.7 * apart[1]
    # The map to the teacher's dims is no part of the model.
    last = load_file(folder / "checkpoint" / "model.safetensors")
    assert last["guess.weight"].shape == (32, 20)
    assert not any("guess" in name for name in load_file(folder / "model" / "model.safetensors"))


def test_a_distillation_run_stopped_and_resumed_is_the_same_run(
    taught: tuple[Path, list[dict[str, Any]]], place: Path, tmp_path: Path
) -> None:
    for stop in (1, 20):
        folder = train(place, taught_by_one(place), stop_after=stop, out=tmp_path)
    assert train(place, taught_by_one(place), out=tmp_path) == folder
    assert_same_run(folder, taught[0])


def test_stopped_and_resumed_is_the_same_run(
    uninterrupted: tuple[Path, list[dict[str, Any]]], place: Path, tmp_path: Path
) -> None:
    for stop in (1, 20):
        folder = train(place, config_of(place), stop_after=stop, out=tmp_path)
        assert not (folder / "model").exists()
        assert json.loads((folder / "checkpoint" / "state.json").read_text()) == {"step": stop}
    assert train(place, config_of(place), out=tmp_path) == folder
    assert_same_run(folder, uninterrupted[0])


def test_killed_between_checkpoints_is_the_same_run(
    uninterrupted: tuple[Path, list[dict[str, Any]]], place: Path, tmp_path: Path
) -> None:
    # The second time after figures were logged that no checkpoint holds.
    for step in (4, 14):
        with pytest.raises(Killed):
            train(place, config_of(place), report=kill_at(step), out=tmp_path)
    assert_same_run(train(place, config_of(place), out=tmp_path), uninterrupted[0])


def test_another_configuration_is_refused(
    uninterrupted: tuple[Path, list[dict[str, Any]]], place: Path
) -> None:
    with pytest.raises(ConfigError, match="run 'keys' exists with another configuration"):
        train(place, config_of(place, temperature=0.1))


def test_a_teacher_that_is_not_there(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no teacher 'runs/none': give the folder of a sentence"):
        train(place, config_of(place, teacher="runs/none"), out=tmp_path)


def test_questions_that_cannot_be_answered(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no question in the files has its answer in its context"):
        train(place, config_of(place, leave_out=["things"]), out=tmp_path)


@pytest.mark.parametrize(
    ("key", "line", "named"),
    [
        ("", "sed = 3", "sed = 3: Extra inputs"),
        ("", "questions_per_step = 1", "questions_per_step = 1: "),
        ("", "lessons_per_step = 1", "lessons_per_step = 1: "),
        ("", "questions_per_source = -1", "questions_per_source = -1: "),
        ("", "temperature = 0", "temperature = 0: "),
        ("[turns]\n", "talk = 0", "turns.talk = 0: "),
        ("[model]\n", "key_dim = 64", "model = .*unknown key 'key_dim'"),
        # The tokenizer says this one.
        ("[model]\n", "vocab_size = 64", "model = .*unknown key 'vocab_size'"),
        ("[model]\n", "embedding_dims = 0", "model = .*embedding_dims=0 must be positive"),
    ],
    ids=lambda value: value.split(" ")[0] if " = " in value else "",
)
def test_errors_name_file_and_key(key: str, line: str, named: str, tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    base = 'name = "x"\ntokenizer = "t"\nquestions = []\ndev_questions = []\n'
    end = "\n[optimizer]\nsteps = 3\n"
    file.write_text(base + end)
    assert load_config(file, EmbedderRunConfig).questions_per_step == 128
    file.write_text(base + key + line + end)
    with pytest.raises(ConfigError, match=f"'keys.toml': {named}"):
        load_config(file, EmbedderRunConfig)


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
        "optimizer": {"steps": 1},
    }
    (run / "run.json").write_text(json.dumps(by_hand))
    parts = {"tokenizer": place / "bundle" / "tokenizer", "autoencoder": run, "embedder": folder}
    manifest = assemble_bundle(tmp_path / "out", name="mine", **parts)
    # Again, with the bundle's own tokenizer folder as the source.
    parts["tokenizer"] = tmp_path / "out" / "tokenizer"
    again = assemble_bundle(tmp_path / "out", name="mine", **parts)
    assert again == manifest

    bundle = ModelBundle(tmp_path / "out")
    assert (bundle.name, bundle.fingerprint) == ("mine", manifest.fingerprint)
    training = json.loads((tmp_path / "out" / "training.json").read_text())
    assert training["autoencoder"] == by_hand
    assert training["keys"]["optimizer"]["steps"] == STEPS
    # What it learned is there: a question's own passage beats the mean of the others.
    passages = [f"I saw the {thing} again. It is at number 5." for thing in THINGS]
    keys = np.stack(
        [item.embedding for item in bundle.encode(list(map(bundle.tokenizer.encode, passages)))]
    )
    asked = np.stack(
        [
            bundle.embedder.embed_query(bundle.tokenizer.encode(f"Where is the {thing}?"))
            for thing in THINGS
        ]
    )
    scores = asked @ keys.T
    own = scores.diagonal()
    others = (scores.sum(1) - own) / (len(THINGS) - 1)
    assert (own > others).mean() > 0.9

    # A reader that lies in the bundle stays, with what is known of its training.
    save_reader(reading_model(tiny_lm()), tmp_path / "out" / "reader")
    content = json.dumps({**training, "reader": {**by_hand, "name": "reader-run"}})
    (tmp_path / "out" / "training.json").write_text(content)
    assert assemble_bundle(tmp_path / "out", name="mine", **parts).reader
    assert "| reader | reader-run | 1 | 0 |" in (tmp_path / "out" / "README.md").read_text()


def test_precisions_may_follow_each_other(place: Path, tmp_path: Path) -> None:
    # Accelerate keeps its first setting for the whole process; a notebook trains several things.
    from agentmem.training.autoencoder.train import train_autoencoder

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
                "optimizer": {"steps": 2},
            }
        )
        train_autoencoder(config, corpus=place / "corpus", out=tmp_path, stop_after=1)

    run("full", "no")
    train(place, config_of(place), out=tmp_path, stop_after=1)
    run("mixed", "bf16")
    train(place, config_of(place), out=tmp_path, stop_after=2)
