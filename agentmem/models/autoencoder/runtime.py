"""What the codec needs of the autoencoder, whichever library computes it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agentmem.models.autoencoder.configuration import AutoencoderConfig

Floats = NDArray[np.floating[Any]]


class AutoencoderRuntime(Protocol):
    """The frozen autoencoder, in float32 or, where asked to, in float64.

    Shapes: B chunks, T tokens, s numbers per token, H hidden size, V vocabulary, N tokens.
    """

    @property
    def config(self) -> AutoencoderConfig:
        """Its sizes."""

    def encode(
        self, ids: NDArray[np.int64], mask: NDArray[np.bool_], *, double: bool = False
    ) -> Floats:
        """Token ids and mask (B, T), True on tokens, to the encoder's states (B, T, H)."""

    def to_codes(self, states: Floats, quantization: str) -> Floats:
        """States (B, T, H) to latent codes (B, T, s), each number in [-1, 1]."""

    def decode(
        self,
        codes: NDArray[np.int8],
        mask: NDArray[np.bool_],
        quantization: str,
        *,
        double: bool = False,
    ) -> Floats:
        """Codes (B, T, s), from -127 to 127, and mask (B, T) to the decoder's states (B, T, H)."""

    def to_logits(self, states: Floats) -> Floats:
        """States (N, H) of the decoder to logits (N, V)."""
