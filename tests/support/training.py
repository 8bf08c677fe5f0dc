"""Support for tests of training: a corpus, a tokenizer, and runs that take a second."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from agentmem.testing import tiny_bundle
from agentmem.training.autoencoder.config import RunConfig
from agentmem.training.autoencoder.train import train_autoencoder

NAMES = ("Ana", "Bo", "Caroline", "Dmitri")
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
PLACES = ("Lyon", "Oslo", "the market", "a small village")
STEPS = 16


def make_place(root: Path) -> Path:
    """A folder with ``corpus/``, ``bundle/`` and room for runs."""
    (root / "corpus").mkdir()
    lines = [
        f"{name} took the train to {where} at {hour}:40 and came back the day after."
        for name in NAMES
        for where in PLACES
        for hour in range(5, 12)
    ]
    documents = [{"text": "\n".join(lines[start : start + 4])} for start in range(0, 112, 4)]
    talks = [{"messages": [{"content": line} for line in lines[i::16]]} for i in range(16)]
    files = {"documents.jsonl": documents, "talks.jsonl": talks}
    for name, records in files.items():
        text = "".join(json.dumps(record) + "\n" for record in records)
        (root / "corpus" / name).write_text(text)
    tiny_bundle(root / "bundle")
    return root


def config_of(place: Path, name: str, **changes: Any) -> RunConfig:
    """A run of a second. With one dim per token some share a code, so there is much to learn."""
    given: dict[str, Any] = {
        "name": name,
        "threads": 1,
        "precision": "no",
        "turns": ["fine", "coarse"],
        "round_from": 0.5,
        "eval_every": 9,
        "save_every": 5,
        "model": {
            "vocab_size": 384,
            "hidden_size": 48,
            "intermediate_size": 64,
            "num_attention_heads": 4,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "slot_dims": 1,
            "quantizations": {"fine": 1, "coarse": 2},
            "fourier_octaves": 5,
        },
        "data": {
            "train": {"documents.jsonl": 0.5, "talks.jsonl": 0.5},
            "dev": ["talks.jsonl"],
            "tokenizer": str(place / "bundle" / "tokenizer"),
            "lengths": [16, 32],
            "tokens_per_step": 512,
        },
        "optimizer": {"steps": STEPS, "lr": 1e-3, "warmup": 0.1},
        **changes,
    }
    return RunConfig.model_validate(given)


def train(place: Path, config: RunConfig, **options: Any) -> Path:
    options.setdefault("out", place / "runs")
    return train_autoencoder(config, corpus=place / "corpus", **options)


def make_teacher(folder: Path) -> Path:
    """A tiny sentence encoder, not trained, with a tokenizer of single words."""
    words = "the a train to oslo leaves at nine and comes back day after ana is in village market"
    words += " bo said number yes no where red blue green old boat house coat lamp book dog car"
    marks = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
    listed = {word: place for place, word in enumerate((*marks, *words.split()))}
    tokenizer = Tokenizer(WordLevel(listed, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=512
    ).save_pretrained(folder)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(listed), num_hidden_layers=1, initializer_range=0.3, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder


def logged(folder: Path) -> list[dict[str, Any]]:
    """The logged metrics of a run, without timings, which every row must have."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        (clock,) = row.keys() & {"tokens_per_s", "questions_per_s"}
        del row[clock]
    return rows


def weights_of(folder: Path) -> dict[str, bytes]:
    """Every weight file of a run, checkpoint and model."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*.safetensors")
    }


def assert_same_run(one: Path, other: Path) -> None:
    """Assert that two finished runs have the same weights, logs and files."""
    weights = weights_of(one)
    assert {"model/model.safetensors", "checkpoint/model.safetensors"} <= weights.keys()
    assert weights == weights_of(other)
    assert logged(one) == logged(other)


class Killed(Exception):
    """What `kill_at` raises."""


def kill_at(last: int) -> Callable[[int, dict[str, Any]], None]:
    """A report that ends the run at a step, before anything more is written."""

    def report(step: int, figures: dict[str, Any]) -> None:
        if step == last:
            raise Killed

    return report


def run_processes(script: Path, *arguments: object, launcher: Sequence[str]) -> None:
    """Run a script in several processes; it fails with what they wrote to stderr."""
    done = subprocess.run(
        [sys.executable, "-m", *launcher, script, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": ":".join(sys.path),
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        },
        check=False,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
