"""Two processes on one machine learn what one learns, however they are started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training_support import (
    STEPS,
    config_of,
    logged,
    make_place,
    reader_config_of,
    train,
    train_to_read,
)

SCRIPT = """
import json, os, sys
from pathlib import Path
from agentmem.training.autoencoder import train_autoencoder
from agentmem.training.config import ReaderRunConfig, RunConfig
from agentmem.training.reader import train_reader

kind, place, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
train, Config = {
    "autoencoder": (train_autoencoder, RunConfig), "reader": (train_reader, ReaderRunConfig)
}[kind]
config = Config.model_validate_json((out / "config.json").read_text())
steps = []
train(config, corpus=place / "corpus", out=out, report=lambda step, figures: steps.append(figures))
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
    "torchrun": ("torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_place(tmp_path_factory.mktemp("training"))


# How each is told and trained in one process.
KINDS: dict[str, tuple[Callable[..., Any], Callable[..., Path]]] = {
    "autoencoder": (config_of, train),
    "reader": (partial(reader_config_of, seeking=1.0), train_to_read),
}


@pytest.fixture(scope="module")
def single(place: Path) -> Callable[[str], tuple[Path, list[dict[str, Any]]]]:
    """The run of one process, and the figures that it reported."""

    @cache
    def run(kind: str) -> tuple[Path, list[dict[str, Any]]]:
        before = torch.get_num_threads()
        seen: list[dict[str, Any]] = []
        tell, learn = KINDS[kind]
        folder = learn(
            place, tell(place, f"one-{kind}"), report=lambda step, figures: seen.append(figures)
        )
        torch.set_num_threads(before)
        return folder, seen

    return run


@pytest.mark.parametrize(
    ("kind", "launcher"),
    [("autoencoder", "accelerate"), ("autoencoder", "torchrun"), ("reader", "torchrun")],
)
def test_two_processes_learn_the_same_as_one(
    kind: str,
    launcher: str,
    place: Path,
    single: Callable[[str], tuple[Path, list[dict[str, Any]]]],
    tmp_path: Path,
) -> None:
    # Rows are cut unevenly between the two. Of the autoencoder, rounding and noise take part; of
    # the reader, steps with memories and without.
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    tell, _ = KINDS[kind]
    (tmp_path / "config.json").write_text(tell(place, "two").model_dump_json())
    done = subprocess.run(
        [sys.executable, "-m", *LAUNCHERS[launcher], script, kind, place, tmp_path],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": ":".join(sys.path),
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        },
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    two, others = (json.loads((tmp_path / f"steps-{rank}.json").read_text()) for rank in (0, 1))
    # One process speaks and writes; the other works.
    assert (len(two), len(others)) == (STEPS, 0)
    folder, one = single(kind)
    assert [figures["loss"] for figures in two] == pytest.approx(
        [figures["loss"] for figures in one], rel=1e-3
    )
    assert [figures.get("missed", 0) for figures in two] == pytest.approx(
        [figures.get("missed", 0) for figures in one], rel=1e-3
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
