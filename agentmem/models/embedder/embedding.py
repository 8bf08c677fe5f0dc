"""From token ids to embeddings in numpy, in batches of similar length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentmem.models.embedder.modeling import EmbedderModel
from agentmem.models.layers.inference import inference
from agentmem.models.layers.padding import by_length, pad


@inference()
def embed(
    network: EmbedderModel, chunks: Sequence[Sequence[int]], max_tokens: int
) -> NDArray[np.float32]:
    """Embeddings float32 (B, K) of token ids, unit norm; only the first ``max_tokens`` count."""
    cut = [list(ids)[:max_tokens] for ids in chunks]
    embeddings = np.empty((len(cut), network.config.key_dims), dtype=np.float32)
    for rows in by_length([len(ids) for ids in cut]):
        embeddings[rows] = network(*pad([cut[row] for row in rows])).numpy()
    return embeddings
