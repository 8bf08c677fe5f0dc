"""`MemoryAutoencoder` in NumPy, for inference; see there for what it is."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from agentmem.models.autoencoder.configuration import LEVELS, AutoencoderConfig
from agentmem.models.layers.arrays import (
    Block,
    Floats,
    block_shapes,
    linear,
    rms_norm,
    run_blocks,
)
from agentmem.models.layers.blas import one_thread
from agentmem.models.layers.weights import Shapes, Weights, below, in_double, load_weights

# As in `MemoryAutoencoder`.
_EPS = float(np.finfo(np.float32).eps)


class NumpyAutoencoder:
    """See `agentmem.models.autoencoder.runtime.AutoencoderRuntime`."""

    def __init__(self, config: AutoencoderConfig, weights: Weights) -> None:
        """Take the weights, named as in `MemoryAutoencoder`."""
        self.config = config
        self._weights = weights
        self._single = _Stacks(config, weights)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load the network in a folder.

        Raises:
            ModelNotFoundError: the folder lacks a file.
            ModelError: its configuration is invalid, or the weights do not fit it.
        """
        config = AutoencoderConfig.from_pretrained(folder)
        return cls(config, load_weights(folder, _shapes(config), tied=("head.weight",)))

    @one_thread()
    def encode(
        self, ids: NDArray[np.int64], mask: NDArray[np.bool_], *, double: bool = False
    ) -> Floats:
        """See `AutoencoderRuntime.encode`."""
        return self._stacks(double).encode(ids, mask)

    @one_thread()
    def to_codes(self, states: Floats, quantization: str) -> Floats:
        """See `AutoencoderRuntime.to_codes`."""
        return self._stacks(states.dtype == np.float64).to_codes(states, quantization)

    @one_thread()
    def decode(
        self,
        codes: NDArray[np.int8],
        mask: NDArray[np.bool_],
        quantization: str,
        *,
        double: bool = False,
    ) -> Floats:
        """See `AutoencoderRuntime.decode`."""
        return self._stacks(double).decode(codes, mask, quantization)

    @one_thread()
    def to_logits(self, states: Floats) -> Floats:
        """See `AutoencoderRuntime.to_logits`."""
        return linear(states, self._stacks(states.dtype == np.float64).embedding)

    def _stacks(self, double: bool) -> _Stacks:
        return self._double if double else self._single

    @cached_property
    def _double(self) -> _Stacks:
        return _Stacks(self.config, in_double(self._weights))


class _Stacks:
    """Encoder and decoder, in the type of their weights."""

    def __init__(self, config: AutoencoderConfig, weights: Weights) -> None:
        self._config = config
        self._weights = weights
        self.embedding = weights["embedding.weight"]
        heads = config.num_attention_heads
        self._encoder, self._decoder = (
            [Block(below(weights, f"{stack}.{layer}"), heads) for layer in range(layers)]
            for stack, layers in (
                ("encoder", config.encoder_layers),
                ("decoder", config.decoder_layers),
            )
        )

    def encode(self, ids: NDArray[np.int64], mask: NDArray[np.bool_]) -> Floats:
        # Rows of the tied head are scaled for the logits; the blocks expect unit scale.
        x = rms_norm(self.embedding[ids], eps=_EPS)
        x = run_blocks(self._encoder, x, mask, self._config)
        return rms_norm(x, self._weights["encoder_norm.weight"])

    def to_codes(self, states: Floats, quantization: str) -> Floats:
        weights = below(self._weights, f"to_slot.{quantization}")
        codes = linear(states, weights["weight"], weights["bias"])
        return np.clip(codes, -1, 1, out=codes)

    def decode(self, codes: NDArray[np.int8], mask: NDArray[np.bool_], quantization: str) -> Floats:
        weights = below(self._weights, f"from_slot.{quantization}")
        slots = linear(self._fourier_features(codes), weights["weight"], weights["bias"])
        x = run_blocks(self._decoder, slots, mask, self._config)
        return rms_norm(x, self._weights["decoder_norm.weight"])

    def _fourier_features(self, codes: NDArray[np.int8]) -> Floats:
        """Codes (B, T, s) with sines and cosines of each dim: (B, T, s (1 + 2 octaves))."""
        kind = self.embedding.dtype.type
        values = codes.astype(kind) / kind(LEVELS)
        octaves = kind(2) ** np.arange(self._config.fourier_octaves, dtype=kind)
        angles = (kind(math.pi) * values[..., None] * octaves).reshape(*codes.shape[:2], -1)
        return np.concatenate([values, np.sin(angles), np.cos(angles)], axis=-1)


def _shapes(config: AutoencoderConfig) -> Shapes:
    h, s = config.hidden_size, config.slot_dims
    features = s * (1 + 2 * config.fourier_octaves)
    shapes: dict[str, tuple[int, ...]] = {
        "embedding.weight": (config.vocab_size, h),
        "encoder_norm.weight": (h,),
        "decoder_norm.weight": (h,),
    }
    for name in config.quantizations:
        shapes |= {f"to_slot.{name}.weight": (s, h), f"to_slot.{name}.bias": (s,)}
        shapes |= {f"from_slot.{name}.weight": (h, features), f"from_slot.{name}.bias": (h,)}
    for stack, layers in (("encoder", config.encoder_layers), ("decoder", config.decoder_layers)):
        for layer in range(layers):
            shapes |= block_shapes(f"{stack}.{layer}", config)
    return shapes
