"""Tiny models for tests, both of agentmem and of programs that use it.

They are created in a second and deterministic. They are not trained but still exact, because every
token is initialized with a distinct code. Search quality is poor: use them to test integration, not
quality. Creating them needs torch, which the extra ``[train]`` installs.

::

    from agentmem import Memory
    from agentmem.testing import tiny_model

    mem = Memory(":memory:", model=tiny_model())
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import cast

from agentmem.models.autoencoder.configuration import AutoencoderConfig
from agentmem.models.bundle.load import ModelBundle
from agentmem.models.bundle.manifest import write_manifest
from agentmem.models.embedder.configuration import EmbedderConfig
from agentmem.models.extras import TRAIN, needs_extra
from agentmem.models.reranker.configuration import LatentRerankerConfig
from agentmem.training.tokenizer import train_tokenizer_on

with needs_extra(TRAIN, "agentmem.testing"):
    import torch

    from agentmem.models.autoencoder.initialization import init_on_grid
    from agentmem.models.autoencoder.modeling import MemoryAutoencoder
    from agentmem.models.autoencoder.token_table import token_table
    from agentmem.models.embedder.modeling import EmbedderModel
    from agentmem.models.reranker.modeling import LatentReranker

_VOCAB_SIZE = 384
_TEXT = (
    "The quick brown fox jumps over the lazy dog; she said that she would come back tomorrow.",
    "What did you tell me about the train to Lyon? It leaves at 9:40 from platform 12.",
    'def f(x: int) -> int:\n    return x + 1\n\n{"name": "Ana", "year": 2026, "ok": true}\n',
)


def tiny_bundle(folder: str | Path, *, seed: int = 0) -> Path:
    """Write a tiny model bundle; different seeds give different fingerprints.

    Returns:
        The folder.
    """
    folder = Path(folder)
    train_tokenizer_on(_TEXT * 8, folder / "tokenizer", vocab_size=_VOCAB_SIZE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        autoencoder = MemoryAutoencoder(
            AutoencoderConfig(
                vocab_size=_VOCAB_SIZE,
                hidden_size=64,
                intermediate_size=64,
                num_attention_heads=4,
                encoder_layers=1,
                decoder_layers=1,
                quantizations={"fine": 1.0, "coarse": 2.7},
                fourier_octaves=5,
            )
        )
        init_on_grid(autoencoder, seed)
        keys = EmbedderModel(
            EmbedderConfig(
                vocab_size=_VOCAB_SIZE, hidden_size=32, num_hidden_layers=1, embedding_dims=32
            )
        )
        reranker = LatentReranker(
            LatentRerankerConfig(vocab_size=_VOCAB_SIZE, hidden_size=16, intermediate_size=16)
        )
        cast("torch.Tensor", reranker.tokens).copy_(token_table(autoencoder))
        with torch.no_grad():
            # An untrained score must have little weight next to the number of matching tokens.
            reranker.score.weight.mul_(0.01)
    autoencoder.save_pretrained(folder / "autoencoder")
    keys.save_pretrained(folder / "keys")
    reranker.save_pretrained(folder / "reranker")
    write_manifest(folder, f"tiny-{seed}")
    return folder


@cache
def tiny_model(seed: int = 0) -> ModelBundle:
    """A loaded tiny bundle, created once per process and seed."""
    with tempfile.TemporaryDirectory() as folder:
        return ModelBundle(tiny_bundle(folder, seed=seed)).load()
