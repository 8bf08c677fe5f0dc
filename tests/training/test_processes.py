"""Data-parallel training with two processes learns the same as one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.support.training import (
    STEPS,
    TORCHRUN,
    config_of,
    logged,
    make_place,
    run_processes,
    train,
)

SCRIPT = """
import json, os, sys
from pathlib import Path
from agentmem.training.autoencoder.config import RunConfig
from agentmem.training.autoencoder.train import train_autoencoder

place, out = Path(sys.argv[1]), Path(sys.argv[2])
config = RunConfig.model_validate_json((out / "config.json").read_text())
steps = []
train_autoencoder(
    config, corpus=place / "corpus", out=out, report=lambda step, figures: steps.append(figures)
)
(out / f"steps-{os.environ['RANK']}.json").write_text(json.dumps(steps))
"""
LAUNCHERS = {
    # --multi_gpu only chooses the launcher that starts several processes: where there is no GPU,
    # training puts them on the CPU. With --cpu, one process is started whatever number is given.
    "accelerate": (
        "accelerate.commands.launch",
        *("--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
        *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
    ),
    "torchrun": TORCHRUN,
}

pytestmark = pytest.mark.timeout(1500)  # two processes beside whatever else the machine does


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_place(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="module")
def single(place: Path) -> tuple[Path, list[dict[str, Any]]]:
    """The run of one process, and the figures that it reported."""
    before = torch.get_num_threads()
    seen: list[dict[str, Any]] = []
    config = config_of(place, "one")
    folder = train(place, config, report=lambda step, figures: seen.append(figures))
    torch.set_num_threads(before)
    return folder, seen


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
def test_two_processes_learn_the_same_as_one(
    launcher: str, place: Path, single: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    # Rows are cut unevenly between the two, and both rounding and noise take part.
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    (tmp_path / "config.json").write_text(config_of(place, "two").model_dump_json())
    run_processes(script, place, tmp_path, launcher=LAUNCHERS[launcher])
    two, others = (json.loads((tmp_path / f"steps-{rank}.json").read_text()) for rank in (0, 1))
    # One process speaks and writes; the other works.
    assert (len(two), len(others)) == (STEPS, 0)
    folder, one = single
    assert [figures["loss"] for figures in two] == pytest.approx(
        [figures["loss"] for figures in one], rel=1e-3
    )
    assert [figures["accuracy"] for figures in two] == pytest.approx(
        [figures["accuracy"] for figures in one], abs=0.01
    )
    assert [row["step"] for row in logged(tmp_path / "two")] == [9, STEPS]
    weights, expected = (
        load_file(run / "checkpoint" / "model.safetensors") for run in (tmp_path / "two", folder)
    )
    assert weights.keys() == expected.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name], atol=1e-3, rtol=1e-2)
