"""Training a reader: resuming is exact, seeds matter, and it learns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from agentmem.errors import ConfigError, InputError, ModelError
from agentmem.models.reader.reader import StatesReader
from agentmem.models.reader.sequence import Branch
from agentmem.training.reader.config import ReaderRunConfig
from agentmem.training.reader.exercises import Exercise
from agentmem.training.reader.packed import ExerciseReader, PackedExercises
from agentmem.training.reader.train import evaluate, train_reader
from tests.support.language_models import reading_model, save_lm, tiny_lm, tokens
from tests.support.training import TORCHRUN, Killed, kill_at, run_processes, weights_of

pytestmark = pytest.mark.usefixtures("threads_as_before")

STEPS = 8


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("training")
    save_lm(root / "lm")
    exercises = []
    for seed in range(24):
        one, other = tokens(seed, 9, 5)
        ask = Branch([3, 4], [one[3], 1])
        exercises.append(Exercise((one, other), (ask, Branch([5], [*other, 1], weight=0.25))))
    PackedExercises.of(exercises).save(root / "data.npz")
    PackedExercises.of(exercises[:5]).save(root / "dev.npz")
    return root


def config_of(place: Path, name: str, **changes: Any) -> ReaderRunConfig:
    given: dict[str, Any] = {
        "name": name,
        "precision": "no",
        "language_model": str(place / "lm"),
        "published_as": "test/tiny",
        "ratios": {"0": 0.2, "1": 0.4, "4": 0.4},
        "rank": 2,
        "tokens_per_step": 128,
        "log_every": 2,
        "eval_every": STEPS,
        "save_every": 3,
        "optimizer": {"steps": STEPS, "lr": 3e-2, "warmup": 0.1},
        **changes,
    }
    return ReaderRunConfig.model_validate(given)


def train(place: Path, config: ReaderRunConfig, out: str, **options: Any) -> Path:
    files = {"data": [place / "data.npz"], "dev": place / "dev.npz", **options}
    return train_reader(config, out=place / out, **files)


def logged(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(place: Path) -> Path:
    before = torch.get_num_threads()
    folder = train(place, config_of(place, "run"), "whole")
    torch.set_num_threads(before)
    return folder


def test_stopped_and_resumed_is_the_same_run(place: Path, whole: Path) -> None:
    config = config_of(place, "run")
    for at in (2, 5):
        stopped = train(place, config, "stopped", stop_after=at)
        assert json.loads((stopped / "checkpoint" / "state.json").read_text())["step"] == at
    # Saved at 6, killed before anything of step 8 is.
    with pytest.raises(Killed):
        train(place, config, "stopped", report=kill_at(8))
    stopped = train(place, config, "stopped")
    weights = weights_of(whole)
    assert {"model/adapter.safetensors", "checkpoint/model.safetensors"} <= weights.keys()
    assert weights_of(stopped) == weights
    assert [row["step"] for row in logged(whole)] == [2, 4, 6, 8]
    assert logged(stopped)[-1]["dev"] == logged(whole)[-1]["dev"]
    train(place, config, "stopped")  # done already
    assert weights_of(stopped) == weights


def test_time_is_up(place: Path) -> None:
    folder = train(place, config_of(place, "run"), "timed", stop_after_s=0.0)
    assert [row["step"] for row in logged(folder)] == [1]


def test_two_seeds_differ(place: Path, whole: Path) -> None:
    other = train(place, config_of(place, "run", seed=1), "other")
    assert weights_of(other) != weights_of(whole)


def test_it_learns_and_leaves_a_reader(place: Path, whole: Path) -> None:
    longer = {"steps": 24, "lr": 3e-2}
    config = config_of(place, "long", optimizer=longer, eval_every=24, save_every=24)
    folder = train(place, config, "long")
    dev = logged(folder)[-1]["dev"]
    assert dev.keys() == {"0", "1", "4"}
    assert all(dev[ratio] < logged(whole)[-1]["dev"][ratio] - 0.15 for ratio in dev)
    reader = StatesReader.from_pretrained(folder / "model", place / "lm")
    assert reader.model.config.rank == 2
    assert reader.model.config.language_model == "test/tiny"
    assert len(reader.read("who?", ["Ana: hi"], max_tokens=3).shares) == 1


def test_from_another_reader(place: Path, whole: Path) -> None:
    config = config_of(
        place, "next", start=str(whole / "model"), optimizer={"steps": 1, "lr": 1e-9}
    )
    folder = train(place, config, "next")
    start = load_file(whole / "model" / "adapter.safetensors")
    for name, weights in load_file(folder / "model" / "adapter.safetensors").items():
        assert torch.equal(weights, start[name])
    # A higher rank begins as the lower one, and has more to learn with.
    higher = config_of(
        place,
        "higher",
        start=str(whole / "model"),
        rank=5,
        optimizer={"steps": 1, "lr": 1e-9},
    )
    grown = load_file(train(place, higher, "next") / "model" / "adapter.safetensors")
    for name, weights in start.items():
        assert torch.equal(grown[name][tuple(map(slice, weights.shape))], weights)
        if name.endswith(".up"):
            assert grown[name].count_nonzero() == weights.count_nonzero()
    other = config_of(place, "worse", start=str(whole / "model"), rank=1)
    with pytest.raises(ModelError, match="do not belong to this reader"):
        train(place, other, "next")


@pytest.mark.slow
# Of torch's own compiler: what it imports uses what torch deprecates, and it looks at the gradients
# of all that goes into a layer.
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_compiled_layers_compute_the_same(place: Path, whole: Path) -> None:
    folder = train(place, config_of(place, "compiled", compile=True), "compiled")
    rows = zip(logged(folder), logged(whole), strict=True)
    for compiled, plain in rows:
        assert compiled["loss"] == pytest.approx(plain["loss"], abs=1e-3)


@torch.no_grad()
def test_evaluation_does_not_depend_on_its_batches(place: Path) -> None:
    model = reading_model(tiny_lm())
    exercises = ExerciseReader(PackedExercises.load(place / "dev.npz"), [2, 3])
    exercises.lengths[-2:] = 200  # as if some were long
    shares = {0: 1.0, 4: 1.0}
    losses = [evaluate(model, exercises, shares, tokens) for tokens in (1, 300, 10_000)]
    for other in losses[1:]:
        assert other == pytest.approx(losses[0], abs=2e-4)
    assert np.isfinite(list(losses[0].values())).all()


def test_missing_or_invalid_inputs(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no model in"):
        train(place, config_of(place, "a", language_model=str(tmp_path)), "bad")
    with pytest.raises(InputError, match="no packed exercises"):
        train(place, config_of(place, "b"), "bad", data=[tmp_path / "none.npz"])
    with pytest.raises(ConfigError, match="exists with another configuration"):
        train(place, config_of(place, "b", seed=9), "bad")


@pytest.mark.parametrize("ratios", [{}, {"one": 1.0}, {"-1": 1.0}, {"1": -1.0}, {"1": 0.0}])
def test_ratios_have_shares(place: Path, ratios: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="ratios="):
        config_of(place, "c", ratios=ratios)


SCRIPT = """
import json, os, sys
from pathlib import Path
from agentmem.training.reader.config import ReaderRunConfig
from agentmem.training.reader.train import train_reader

place, out, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
config = ReaderRunConfig.model_validate_json((out / "config.json").read_text())
steps = []
train_reader(
    config,
    data=[place / "data.npz"],
    dev=place / "dev.npz",
    out=out,
    report=lambda step, figures: steps.append(figures),
    stop_after_s=seconds,
)
(out / f"steps-{os.environ['RANK']}.json").write_text(json.dumps(steps))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("seconds", "steps"), [(0.0, 1), (500.0, STEPS)])
def test_two_processes(place: Path, tmp_path: Path, seconds: float, steps: int) -> None:
    """They stop at the same step, and one of them writes."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    (tmp_path / "config.json").write_text(config_of(place, "two").model_dump_json())
    run_processes(script, place, tmp_path, seconds, launcher=TORCHRUN)
    first, second = (json.loads((tmp_path / f"steps-{rank}.json").read_text()) for rank in (0, 1))
    assert ([figures["step"] for figures in first], second) == ([*range(1, steps + 1)], [])
    assert logged(tmp_path / "two")[-1]["step"] == steps
    StatesReader.from_pretrained(tmp_path / "two" / "model", place / "lm")
