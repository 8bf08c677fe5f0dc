"""From token ids to embeddings, in batches of similar length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentmem.models.embedder.runtime import EmbedderRuntime
from agentmem.models.layers.padding import by_length, pad_rows

# Tokens of one batch, padding included: more fit no cache.
_BATCH_TOKENS = 1024


def embed(
    network: EmbedderRuntime, chunks: Sequence[Sequence[int]], max_tokens: int
) -> NDArray[np.float32]:
    """Embeddings float32 (B, K) of token ids, unit norm; only the first ``max_tokens`` count."""
    cut = [list(ids)[:max_tokens] for ids in chunks]
    embeddings = np.empty((len(cut), network.config.embedding_dims), dtype=np.float32)
    for rows in by_length([len(ids) for ids in cut], _BATCH_TOKENS):
        embeddings[rows] = network.embed(*pad_rows([cut[row] for row in rows]))
    return embeddings
