"""What the tests of training share: a corpus, a tokenizer, and runs of a second."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

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
    """The figures of a run, without the clock's: each row has one of those."""
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
    """Two finished runs learned, logged and wrote the same."""
    weights = weights_of(one)
    assert {"model/model.safetensors", "checkpoint/model.safetensors"} <= weights.keys()
    assert weights == weights_of(other)
    assert logged(one) == logged(other)
    samples = [[file.read_text() for file in run.glob("samples.txt")] for run in (one, other)]
    assert samples[0] == samples[1]


class Killed(Exception):
    """What `kill_at` raises."""


def kill_at(last: int) -> Callable[[int, dict[str, Any]], None]:
    """A report that ends the run at a step, before anything more is written."""

    def report(step: int, figures: dict[str, Any]) -> None:
        if step == last:
            raise Killed

    return report
