"""The tiny models of `agentmem.testing`: reproducible and without side effects."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch

from agentmem.models.base import Latent, MemoryModel, Passage
from agentmem.models.bundle.load import ModelBundle
from agentmem.models.bundle.manifest import read_manifest
from agentmem.testing import tiny_bundle, tiny_model


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_twice_gives_identical_files(tmp_path: Path) -> None:
    made = [contents(tiny_bundle(tmp_path / name)) for name in "abc"]
    assert set(made[0]) >= {
        "manifest.json",
        "tokenizer/tokenizer.json",
        "autoencoder/model.safetensors",
        "keys/model.safetensors",
        "reranker/model.safetensors",
    }
    assert made[0] == made[1] == made[2]


def test_another_seed_is_another_bundle(tmp_path: Path) -> None:
    prints = {
        read_manifest(tiny_bundle(tmp_path / str(seed), seed=seed)).fingerprint for seed in range(3)
    }
    assert len(prints) == 3
    first, second = tiny_model(0), tiny_model(1)
    assert first.fingerprint != second.fingerprint
    (one,), (other,) = first.encode([[9, 10, 11]]), second.encode([[9, 10, 11]])
    assert one.latents.tobytes() != other.latents.tobytes()
    assert not np.allclose(one.embedding, other.embedding, atol=0.1)


def test_the_same_as_its_folder(tmp_path: Path) -> None:
    assert tiny_model().fingerprint == ModelBundle(tiny_bundle(tmp_path)).fingerprint
    assert tiny_model() is tiny_model()


def test_global_randomness_is_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(7)
    random.seed(7)
    before = torch.get_rng_state(), random.getstate()
    tiny_bundle(tmp_path)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


def test_a_tiny_model_is_a_memory_model_and_exact() -> None:
    model: MemoryModel = tiny_model()
    assert (model.name, model.codec.max_tokens, model.embedder.dims) == ("tiny-0", 256, 32)
    chunks = [model.tokenizer.encode(text) for text in ("Zwölf 🙂", "x", "a b " * 50)]
    encoded = model.encode(chunks)
    assert [item.fidelity for item in encoded] == [1.0, 1.0, 1.0]
    stored = [
        Latent(item.packed, len(ids), item.patch) for item, ids in zip(encoded, chunks, strict=True)
    ]
    assert model.codec.regenerate(stored) == chunks
    assert model.codec.regenerate(stored, patched=False) == chunks
    passages = [Passage(item.packed, len(ids)) for item, ids in zip(encoded, chunks, strict=True)]
    assert model.reranker is not None
    scores = model.reranker.rerank([9, 10], passages, [(0, None, 1), (1, 0, 2), (2, 1, None)])
    assert len(set(scores.tolist())) == 3
