"""`EmbedderModel` in NumPy, for inference; see there for what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from agentmem.models.embedder.configuration import EmbedderConfig
from agentmem.models.layers.arrays import (
    Block,
    block_shapes,
    l2_norm,
    linear,
    rms_norm,
    run_blocks,
    softplus,
)
from agentmem.models.layers.blas import one_thread
from agentmem.models.layers.weights import Shapes, Weights, below, load_weights


class NumpyEmbedder:
    """See `agentmem.models.embedder.runtime.EmbedderRuntime`."""

    def __init__(self, config: EmbedderConfig, weights: Weights) -> None:
        """Take the weights, named as in `EmbedderModel`."""
        self.config = config
        self._weights = weights
        self._blocks = [
            Block(below(weights, f"blocks.{layer}"), config.num_attention_heads)
            for layer in range(config.num_hidden_layers)
        ]

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load the network in a folder.

        Raises:
            ModelNotFoundError: the folder lacks a file.
            ModelError: its configuration is invalid, or the weights do not fit it.
        """
        config = EmbedderConfig.from_pretrained(folder)
        return cls(config, load_weights(folder, _shapes(config)))

    @one_thread()
    def embed(self, ids: NDArray[np.int64], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """See `EmbedderRuntime.embed`."""
        own = self._weights
        x = run_blocks(self._blocks, own["embedding.weight"][ids], mask, self.config)
        # The norm of a token's vector carries its importance too, so the vectors are averaged
        # without normalization.
        importance = linear(rms_norm(x, own["norm.weight"]), own["weigh.weight"], own["weigh.bias"])
        weights = softplus(importance) * mask[..., None]  # (B, T, 1)
        total = np.maximum(weights.sum(axis=1), np.finfo(np.float32).tiny)
        pooled = (weights * x).sum(axis=1) / total
        return l2_norm(linear(pooled, own["out.weight"])).astype(np.float32, copy=False)


def _shapes(config: EmbedderConfig) -> Shapes:
    h = config.hidden_size
    shapes: dict[str, tuple[int, ...]] = {
        "embedding.weight": (config.vocab_size, h),
        "norm.weight": (h,),
        "weigh.weight": (1, h),
        "weigh.bias": (1,),
        "out.weight": (config.embedding_dims, h),
    }
    for layer in range(config.num_hidden_layers):
        shapes |= block_shapes(f"blocks.{layer}", config)
    return shapes
