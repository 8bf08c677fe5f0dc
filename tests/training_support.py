"""What the tests of training share: a corpus, a tokenizer, and runs of a second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agentmem.testing import tiny_bundle
from agentmem.training.autoencoder import train_autoencoder
from agentmem.training.config import RunConfig

NAMES = ("Ana", "Bo", "Caroline", "Dmitri")
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
    for name, records in (("documents.jsonl", documents), ("talks.jsonl", talks)):
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
        "turns": ["standard", "dense"],
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
            "densities": {"standard": 1, "dense": 2},
            "lift_octaves": 5,
        },
        "data": {
            "train": {"documents.jsonl": 0.5, "talks.jsonl": 0.5},
            "dev": ["talks.jsonl"],
            "tokenizer": str(place / "bundle" / "tokenizer"),
            "lengths": [16, 32],
            "tokens_per_step": 512,
        },
        "optimiser": {"steps": STEPS, "lr": 1e-3, "warmup": 0.1},
        **changes,
    }
    return RunConfig.model_validate(given)


def train(place: Path, config: RunConfig, **options: Any) -> Path:
    options.setdefault("out", place / "runs")
    return train_autoencoder(config, corpus=place / "corpus", **options)


def logged(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        del row["tokens_per_s"]  # the clock's
    return rows
