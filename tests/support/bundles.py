"""Tiny bundles that differ from `agentmem.testing.tiny_bundle` in one part."""

from __future__ import annotations

from pathlib import Path

import torch

from agentmem.models.bundle.manifest import write_manifest
from agentmem.models.embedder.configuration import EmbedderConfig
from agentmem.models.embedder.modeling import EmbedderModel
from agentmem.testing import tiny_bundle
from agentmem.training.tokenizer import train_tokenizer_on

# Of no use for English, which a tokenizer trained on it cuts into many more tokens.
_GREEK = (
    "Οι μνήμες είναι μικρά διανύσματα που γίνονται πάλι κείμενο, λέξη προς λέξη.",
    "Το τρένο για τη Λυών φεύγει στις εννέα και σαράντα από την αποβάθρα δώδεκα.",
)


def with_other_embedder(folder: Path, *, seed: int = 0, dims: int = 48) -> Path:
    """A tiny bundle with the same autoencoder and tokenizer, and an embedder of other dims."""
    tiny_bundle(folder, seed=seed)
    vocab_size = 384
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1000)
        keys = EmbedderModel(
            EmbedderConfig(
                vocab_size=vocab_size, hidden_size=32, num_hidden_layers=1, embedding_dims=dims
            )
        )
    keys.save_pretrained(folder / "keys")
    write_manifest(folder, f"tiny-{seed}-embedder")
    return folder


def with_other_tokenizer(folder: Path, *, seed: int = 0) -> Path:
    """A tiny bundle that needs several chunks for what is one of `tiny_bundle`'s."""
    tiny_bundle(folder, seed=seed)
    train_tokenizer_on(_GREEK * 8, folder / "tokenizer", vocab_size=384)
    write_manifest(folder, f"tiny-{seed}-tokenizer")
    return folder
