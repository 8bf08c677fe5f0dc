"""Training the reranker: the answering passage comes first, and resuming is exact."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from agentmem import Memory
from agentmem.errors import ConfigError
from agentmem.models.autoencoder.modeling import MemoryAutoencoder
from agentmem.models.autoencoder.token_table import token_table
from agentmem.models.bundle.load import ModelBundle
from agentmem.models.reranker.modeling import LatentReranker
from agentmem.testing import tiny_bundle
from agentmem.training.bundle.assemble import assemble_bundle
from agentmem.training.config import load_config
from agentmem.training.data.evidence import Evidence
from agentmem.training.reranker.config import RerankerConfig
from agentmem.training.reranker.train import RankingTask, ranking_task, train_reranker
from tests.support.training import Killed, assert_same_run, kill_at, logged

pytestmark = pytest.mark.usefixtures("threads_as_before")

STEPS = 40
# No word of a question stands in what answers it.
KINDS = {
    "eat": ("bread", "soup", "rice", "cake"),
    "wear": ("coat", "shoes", "hat", "scarf"),
    "play": ("chess", "cards", "darts", "golf"),
    "drive": ("car", "bus", "van", "truck"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``corpus/``, ``bundle/`` and room for runs."""
    root = tmp_path_factory.mktemp("reranker")
    (root / "corpus").mkdir()
    questions = [
        {
            "source": "things",
            "kind": "dialogue-span",
            "question": f"What did they {verb}?",
            "context": "\n".join(f"It was {group[number]}." for group in KINDS.values()),
            "answers": [things[number]],
        }
        for verb, things in KINDS.items()
        for number in range(4)
    ]
    text = "".join(json.dumps(record) + "\n" for record in questions)
    (root / "corpus" / "questions.jsonl").write_text(text)
    tiny_bundle(root / "bundle")
    return root


def config_of(place: Path, **changes: Any) -> RerankerConfig:
    given: dict[str, Any] = {
        "name": "reranker",
        "threads": 1,
        "tokenizer": str(place / "bundle" / "tokenizer"),
        "autoencoder": str(place / "bundle" / "autoencoder"),
        "questions": ["questions.jsonl"],
        "dev_questions": ["questions.jsonl"],
        "questions_per_step": 12,
        # Those of its own context: elsewhere are others to eat, and to wear.
        "candidates": 4,
        "eval_every": 16,
        "save_every": 9,
        "model": {"hidden_size": 16, "intermediate_size": 24},
        "optimizer": {"steps": STEPS, "lr": 1e-2},
        **changes,
    }
    return RerankerConfig.model_validate(given)


def train(place: Path, config: RerankerConfig, **options: Any) -> Path:
    options.setdefault("out", place / "runs")
    return train_reranker(config, corpus=place / "corpus", **options)


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
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    # Of four, one is right.
    assert sum(figures["accuracy"] for figures in seen[:3]) / 3 < 0.6
    assert sum(figures["accuracy"] for figures in seen[-5:]) / 5 > 0.8
    rows = logged(folder)
    assert [row["step"] for row in rows] == [16, 32, STEPS]
    assert 1 >= rows[-1]["dev"]["top3"] >= rows[-1]["dev"]["top1"] > 0.8


def test_it_leaves_the_documented_files(
    uninterrupted: tuple[Path, list[dict[str, Any]]], place: Path, tmp_path: Path
) -> None:
    folder, _ = uninterrupted
    assert {path.name for path in folder.iterdir()} == {
        "model",
        "metrics.jsonl",
        "run.json",
        "checkpoint",
    }
    content = (folder / "run.json").read_text()
    assert RerankerConfig.model_validate_json(content) == config_of(place)
    model = LatentReranker.from_pretrained(folder / "model")
    assert (model.config.vocab_size, model.config.codes) == (384, 255**2)
    last = load_file(folder / "checkpoint" / "model.safetensors")
    for name, weight in model.named_parameters():
        assert torch.equal(weight, last[name].bfloat16().float()), name
    # It knows the codes of the autoencoder, which has learned nothing.
    autoencoder = MemoryAutoencoder.from_pretrained(place / "bundle" / "autoencoder")
    assert torch.equal(model.token_ids(torch.arange(255**2)), token_table(autoencoder).long())
    weights = "autoencoder/model.safetensors"
    untouched = tiny_bundle(tmp_path) / weights
    assert (place / "bundle" / weights).read_bytes() == untouched.read_bytes()


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
    for step in (4, 17):
        with pytest.raises(Killed):
            train(place, config_of(place), report=kill_at(step), out=tmp_path)
    assert_same_run(train(place, config_of(place), out=tmp_path), uninterrupted[0])


def test_another_configuration_is_refused(
    uninterrupted: tuple[Path, list[dict[str, Any]]], place: Path
) -> None:
    with pytest.raises(ConfigError, match="run 'reranker' exists with another configuration"):
        train(place, config_of(place, candidates=5))


def test_what_is_not_there(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no model in 'runs/none/model'"):
        train(place, config_of(place, autoencoder="runs/none/model"), out=tmp_path)
    with pytest.raises(ConfigError, match="no question in the files has its answer in its context"):
        train(place, config_of(place, leave_out=["things"]), out=tmp_path / "other")


@pytest.mark.parametrize(
    ("key", "line", "named"),
    [
        ("", "sed = 3", "sed = 3: Extra inputs"),
        ("", "candidates = 1", "candidates = 1: "),
        ("", "questions_per_step = 1", "questions_per_step = 1: "),
        ("[model]\n", "hidden = 64", "model = .*unknown key 'hidden'"),
        # The tokenizer and the autoencoder say these two.
        ("[model]\n", "vocab_size = 64", "model = .*unknown key 'vocab_size'"),
        ("[model]\n", "codes = 64", "model = .*unknown key 'codes'"),
        ("[model]\n", "hidden_size = 0", "model = .*hidden_size=0 must be positive"),
    ],
    ids=lambda value: value.split(" ")[0] if " = " in value else "",
)
def test_errors_name_file_and_key(key: str, line: str, named: str, tmp_path: Path) -> None:
    file = tmp_path / "reranker.toml"
    base = 'name = "x"\ntokenizer = "t"\nautoencoder = "a"\nquestions = []\ndev_questions = []\n'
    end = "\n[optimizer]\nsteps = 3\n"
    file.write_text(base + end)
    assert load_config(file, RerankerConfig).candidates == 20
    file.write_text(base + key + line + end)
    with pytest.raises(ConfigError, match=f"'reranker.toml': {named}"):
        load_config(file, RerankerConfig)


def test_in_a_bundle_it_finds_what_answers(
    uninterrupted: tuple[Path, list[dict[str, Any]]], place: Path, tmp_path: Path
) -> None:
    runs = {}
    for part in ("autoencoder", "keys"):
        runs[part] = tmp_path / part
        shutil.copytree(place / "bundle" / part, runs[part] / "model")
        content = {"name": part, "seed": 0, "optimizer": {"steps": 1}, "data": {"train": {}}}
        (runs[part] / "run.json").write_text(json.dumps(content))
    made = tmp_path / "bundle"
    parts = {
        "tokenizer": place / "bundle" / "tokenizer",
        "autoencoder": runs["autoencoder"],
        "embedder": runs["keys"],
        "reranker": uninterrupted[0],
    }
    manifest = assemble_bundle(made, name="mine", **parts)
    assert set(manifest.reranker) == {"reranker/config.json", "reranker/model.safetensors"}
    with Memory(":memory:", model=ModelBundle(made)) as memory:
        memory.add(
            {"name": "AB"[n % 2], "content": f"It was {things[0]}."}
            for n, things in enumerate(KINDS.values())
        )
        for verb, things in KINDS.items():
            found = memory.recall(f"What did they {verb}?", k=4)
            best = max(found, key=lambda hit: hit.explain["rerank"])
            assert best.text == f"It was {things[0]}."


def evidence(name: str, pieces: int, right: Sequence[int]) -> Evidence:
    """Pieces that say whose and which they are."""
    places = tuple(sorted(set(right)))
    return Evidence(
        "made",
        f"{name}?",
        tuple(f"{name} {place}" for place in range(pieces)),
        places,
        tuple(place for place in range(pieces) if place not in places),
    )


@st.composite
def contexts(draw: st.DrawFn) -> list[Evidence]:
    """Questions on contexts of their own; two of them may share one."""
    found = []
    for name in "abcd"[: draw(st.integers(1, 4))]:
        pieces = draw(st.integers(1, 9))
        for _ in range(draw(st.integers(1, 2))):
            right = draw(st.lists(st.integers(0, pieces - 1), min_size=1, max_size=3))
            found.append(evidence(name, pieces, right))
    return found


class TestChoice:
    @staticmethod
    def read(made: RankingTask) -> list[tuple[str, int]]:
        """Context and place of each candidate's own passage."""
        said = [made.passages[own].split(" ") for own, _, _ in made.views]
        return [(name, int(place)) for name, place in said]

    @given(contexts(), st.integers(2, 8), st.integers(0, 2**32 - 1))
    def test_one_positive_first_and_no_other_after_it(
        self, others: list[Evidence], count: int, seed: int
    ) -> None:
        one = others[0]
        made = ranking_task(one, others, count, np.random.default_rng(seed))
        name = one.passages[0].split(" ")[0]
        (first, place), *rest = self.read(made)
        assert made.question == one.question
        assert first == name
        assert place in one.positives
        # The others of its context are those that are wrong, of one stretch around it.
        own = [at for context, at in rest if context == name]
        assert set(own) <= set(one.negatives)
        assert len(set(own)) == len(own)
        shown = [int(text.split(" ")[1]) for text in made.passages if text.startswith(f"{name} ")]
        assert shown == list(range(shown[0], shown[0] + len(shown)))
        assert len(shown) == min(count, len(one.passages))
        assert sorted(own) == [at for at in shown if at in one.negatives]
        # Strangers fill what is left, as long as there are any.
        strangers = [context for context, _ in rest if context != name]
        there = any(other.passages != one.passages for other in others)
        assert len(strangers) == (count - 1 - len(own) if there else 0)

    @given(contexts(), st.integers(2, 8), st.integers(0, 2**32 - 1))
    def test_neighbors_are_the_adjacent_passages(
        self, others: list[Evidence], count: int, seed: int
    ) -> None:
        one = others[0]
        made = ranking_task(one, others, count, np.random.default_rng(seed))
        name = one.passages[0].split(" ")[0]
        lengths = {other.passages[0].split(" ")[0]: len(other.passages) for other in others}
        shown = {text for text in made.passages if text.startswith(f"{name} ")}
        for (context, place), (_, *beside) in zip(self.read(made), made.views, strict=True):
            for at, view in zip((place - 1, place + 1), beside, strict=True):
                text = f"{context} {at}"
                # Of its own context only the stretch is there; of a stranger, all it needs.
                there = text in shown if context == name else 0 <= at < lengths[context]
                assert (made.passages[view] if view >= 0 else None) == (text if there else None)

    def test_every_positive_and_every_window_is_chosen(self) -> None:
        one = evidence("a", 9, [2, 6])
        rng = np.random.default_rng(0)
        made = [ranking_task(one, [], 4, rng) for _ in range(200)]
        assert {self.read(each)[0][1] for each in made} == {2, 6}
        assert {each.passages[0] for each in made} == {f"a {first}" for first in range(6)}
        assert all(len(each.passages) == 4 for each in made)

    def test_the_same_seed_chooses_the_same(self) -> None:
        others = [evidence(name, 7, [3]) for name in "abc"]
        first, second, other = (
            ranking_task(others[0], others, 9, np.random.default_rng(seed)) for seed in (1, 1, 2)
        )
        assert first == second != other
