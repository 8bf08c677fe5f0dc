"""The group train: the parts of a bundle, and the bundle."""

from __future__ import annotations

from agentmem_cli.commands import bundle, train
from agentmem_cli.register import command_group

app = command_group(
    {
        "tokenizer": train.tokenizer,
        "autoencoder": train.autoencoder,
        "embedder": train.embedder,
        "encoder": train.encoder,
        "reranker": train.reranker,
        "reader-data": train.reader_data,
        "reader": train.reader,
        "bundle": bundle.bundle,
    },
    help="Train the parts of a model bundle, and assemble them.",
)
