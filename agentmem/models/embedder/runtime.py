"""What embedding needs of the network, whichever library computes it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agentmem.models.embedder.configuration import EmbedderConfig


class EmbedderRuntime(Protocol):
    """The frozen embedder, in float32."""

    @property
    def config(self) -> EmbedderConfig:
        """Its sizes."""

    def embed(self, ids: NDArray[np.int64], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Token ids and mask (B, T), True on tokens, to embeddings (B, K) of unit norm."""
