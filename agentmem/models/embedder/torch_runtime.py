"""`EmbedderModel` behind the interface of `agentmem.models.embedder.runtime`: the reference."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from agentmem.models.embedder.configuration import EmbedderConfig
from agentmem.models.embedder.modeling import EmbedderModel
from agentmem.models.layers.inference import inference


class TorchEmbedder:
    """See `agentmem.models.embedder.runtime.EmbedderRuntime`."""

    def __init__(self, model: EmbedderModel) -> None:
        """Wrap a model in float32."""
        self._model = model.train(False)
        self.config: EmbedderConfig = model.config

    @inference()
    def embed(self, ids: NDArray[np.int64], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """See `EmbedderRuntime.embed`."""
        embeddings: NDArray[np.float32] = self._model(
            torch.from_numpy(ids), torch.from_numpy(mask)
        ).numpy()
        return embeddings
