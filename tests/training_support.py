"""What the tests of training share: a corpus, a tokenizer, and runs of a second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agentmem.testing import tiny_bundle
from agentmem.training.autoencoder import train_autoencoder
from agentmem.training.config import ReaderRunConfig, RunConfig
from agentmem.training.reader import train_reader

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
    asked = [
        {
            "kind": "span",
            "question": f"When did the train to {where} leave?",
            "context": line,
            "answers": [line.split(" at ")[1][:4]],
        }
        for where in PLACES
        for line in lines
        if where in line
    ]
    files = {"documents.jsonl": documents, "talks.jsonl": talks, "asked.jsonl": asked}
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


def reader_config_of(place: Path, name: str, **changes: Any) -> ReaderRunConfig:
    """A reader's run of a second, with every exercise."""
    given: dict[str, Any] = {
        "name": name,
        "seed": 10,
        "threads": 1,
        "precision": "no",
        "bundle": str(place / "bundle"),
        "lm": {
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "max_position_embeddings": 512,
        },
        "reader": {"heads": 2, "width": 32},
        "texts": {"documents.jsonl": 0.5, "talks.jsonl": 0.5},
        "questions": ["asked.jsonl"],
        "dev_texts": ["talks.jsonl"],
        "dev_questions": ["asked.jsonl"],
        "random_share": 0.2,
        "max_context": 128,
        "stages": [
            {
                "until": 0.5,
                "mixture": {"regenerate": 0.4, "lookup": 0.4, "language": 0.2},
                "memories": [1, 2],
                "memory_tokens": [8, 16],
                "rows": 6,
            },
            {
                "until": 1,
                "mixture": {"lookup": 0.2, "answer": 0.3, "facts": 0.3, "follow": 0.2},
                "memories": [2, 3],
                "memory_tokens": [16, 32],
                "rows": 6,
            },
        ],
        "eval_every": 9,
        "save_every": 5,
        "optimiser": {"steps": STEPS, "lr": 5e-3, "warmup": 0.1},
        **changes,
    }
    return ReaderRunConfig.model_validate(given)


def train_to_read(place: Path, config: ReaderRunConfig, **options: Any) -> Path:
    options.setdefault("out", place / "runs")
    return train_reader(config, corpus=place / "corpus", **options)


def logged(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        del row["tokens_per_s"]  # the clock's
    return rows
