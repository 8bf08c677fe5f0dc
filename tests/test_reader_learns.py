"""A small language model learns to look things up in memory vectors, in a minute of one core."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch

from agentmem import Memory
from agentmem.models.reader.reader import MemoryReader
from agentmem.testing import tiny_bundle
from agentmem.training.config import ReaderRunConfig
from agentmem.training.reader import train_reader

# Of one or two tokens each; in any order, so that nothing but reading helps.
WORDS = (
    "about at back brown come did dog fox from jumps lazy leaves over platform quick said she "
    "tell that the to tomorrow train would year you"
).split()
MEMORIES, CUE = 6, 3


def sentences(seed: int, count: int) -> list[list[str]]:
    rng = random.Random(seed)
    return [[rng.choice(WORDS) for _ in range(9)] for _ in range(count)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("learning")
    tiny_bundle(root / "bundle")
    lines = (json.dumps({"text": " ".join(words)}) + "\n" for words in sentences(0, 3000))
    (root / "texts.jsonl").write_text("".join(lines))
    return root


@pytest.fixture(scope="module")
def reader(place: Path) -> MemoryReader:
    config = ReaderRunConfig.model_validate(
        {
            "name": "learning",
            "precision": "no",
            "threads": 1,
            "bundle": str(place / "bundle"),
            "lm": {
                "hidden_size": 64,
                "intermediate_size": 128,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "max_position_embeddings": 256,
                "attn_implementation": "eager",
            },
            "reader": {"route": "slots", "layers": [0], "heads": 4, "width": 48},
            "texts": {"texts.jsonl": 1},
            "dev_texts": ["texts.jsonl"],
            "stages": [
                {
                    "until": 1,
                    "mixture": {"lookup": 1},
                    "memories": [4],
                    "memory_tokens": [8, 16],
                    "rows": 64,
                }
            ],
            "eval_every": 1000,
            "save_every": 1000,
            "optimiser": {"steps": 400, "lr": 3e-3, "decay": 0.5},
        }
    )
    before = torch.get_num_threads()
    folder = train_reader(config, corpus=place, out=place / "runs")
    torch.set_num_threads(before)
    return MemoryReader.from_pretrained(folder / "model", place / "bundle")


def test_looking_up_works_with_memories_and_only_with_them(reader: MemoryReader) -> None:
    right = {"memories": 0, "none": 0}
    asked = 0
    for group in range(6):
        told = sentences(100 + group, MEMORIES)
        with Memory(":memory:", model=reader.bundle) as memory:
            memory.add([" ".join(words) for words in told])
            kept = list(memory.list())
            # From the vectors alone: int8 numbers, as they are stored.
            assert [one.latents.dtype.name for one in kept] == ["int8"] * MEMORIES
            cues = [words[at : at + CUE] for at, words in enumerate(told)]
            wanted = [words[at + CUE] for at, words in enumerate(told)]
            prompts = [f" {' '.join(cue)}" for cue in cues]
            for given, shown in (("memories", kept), ("none", [])):
                answers = reader.look_up(prompts, shown, max_new_tokens=4)
                right[given] += sum(
                    answer.split()[:1] == [word]
                    for answer, word in zip(answers, wanted, strict=True)
                )
            asked += len(cues)
    assert right["memories"] / asked >= 0.8
    assert right["none"] / asked <= 0.2
