"""What the tests of a reader's evaluation share: a corpus, a bundle, and fresh readers of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from agentmem.evaluation.reading_config import ReaderEvalConfig
from agentmem.models.bundle import load_bundle
from agentmem.models.reader.configuration import ReaderConfig
from agentmem.models.reader.reader import MemoryReader
from agentmem.testing import tiny_bundle

WORDS = ["train", "platform", "Lyon", "jumps", "tomorrow", "quick", "said", "dog", "year", "def"]
HIDDEN, LAYERS, ROOM, WIDTH = 32, 2, 512, 16
RAW = ReaderConfig(route="positions", tokens_per_position=1)
SLOTS = ReaderConfig(heads=2, width=WIDTH, rope_dims=8)


def make_place(root: Path) -> Path:
    """A folder with ``bundle/``, ``corpus/``, and the readers ``slots/``, ``raw/``, ``four/``."""
    tiny_bundle(root / "bundle")
    (root / "corpus").mkdir()
    shuffle = torch.Generator().manual_seed(0)
    for name, count in (("one", 60), ("two", 40)):
        drawn = torch.randint(len(WORDS), (count, 20), generator=shuffle).tolist()
        write(root, name, [{"text": " ".join(WORDS[i] for i in row)} for row in drawn])
    write(root, "colons", [{"text": ":" * 400}])
    answered = [
        {
            "kind": "extractive",
            "context": f"Ana took the train number {n} to Lyon. " * (1 + n % 3),
            "question": f"Which train left on day {n}?",
            "answers": [str(n)],
        }
        for n in range(12)
    ]
    unanswered = [
        {"kind": "unanswerable", "context": "The dog jumps.", "question": f"Who is {n}?"}
        for n in range(6)
    ]
    write(root, "qa", [*answered, *({**one, "answers": []} for one in unanswered)])
    write(
        root,
        "qa-colons",
        [{"kind": "table", "context": "x", "question": "What?", "answers": ["Lyon", "::::::"]}],
    )
    for name, config in (
        ("slots", SLOTS),
        ("raw", RAW),
        ("four", ReaderConfig(route="positions", tokens_per_position=4)),
    ):
        reader_of(root, config).save_pretrained(root / name)
    return root


def write(root: Path, name: str, records: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(record) + "\n" for record in records)
    (root / "corpus" / f"{name}.jsonl").write_text(text)


def reader_of(place: Path, config: ReaderConfig, **sizes: Any) -> MemoryReader:
    """A fresh reader around a Llama of these sizes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        lm = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=384,
                hidden_size=HIDDEN,
                intermediate_size=HIDDEN,
                num_hidden_layers=LAYERS,
                num_attention_heads=2,
                max_position_embeddings=ROOM,
                tie_word_embeddings=True,
                **sizes,
            )
        )
        return MemoryReader.from_causal_lm(lm, load_bundle(str(place / "bundle")), config=config)


def given(**changes: Any) -> dict[str, Any]:
    return {
        "seed": 3,
        "threads": 1,
        "texts": ["one.jsonl", "two.jsonl"],
        "regeneration": {"memories": [1, 4], "memory_tokens": 32, "rows": 6},
        "lookup": {"memories": [1, 3, 20], "memory_tokens": 32, "rows": 6},
        "questions": {
            "file": "qa.jsonl",
            "count": 10,
            "memory_tokens": 20,
            "answer_tokens": 6,
            "positions": [4, 8],
        },
        "following": {"memories": 2, "memory_tokens": 24, "tokens": 16, "rows": 4},
        "cost": {"tokens": [64, 128], "memory_tokens": 32, "repeats": 2},
        **changes,
    }


def config_of(**changes: Any) -> ReaderEvalConfig:
    return ReaderEvalConfig.model_validate(given(**changes))
