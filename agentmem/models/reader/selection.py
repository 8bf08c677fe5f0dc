"""Which keys and values of a memory are kept when it is compressed.

A model that reads a memory twice attends, at the second reading, to what it needs to write the
memory again. So a key's score is the greatest attention that any query of the second reading pays
to it, and the best scores of all layers and heads of a memory are kept together: some heads keep
nearly all of theirs, others hardly any (KVzip, arXiv 2505.23416). The scores depend on the memory
alone, and not on a question.
"""

from __future__ import annotations

import torch
from torch import Tensor

from agentmem.models.reader.weights import attention_weights

# Numbers of one part of the attention weights: 256 MB.
_PART = 2**26


def greatest_attention(
    query: Tensor, key: Tensor, allowed: Tensor | None, scaling: float
) -> Tensor:
    """The greatest attention that each key gets from any query of the heads that share it.

    Args:
        query: Queries, float (B, H, Q, D).
        key: Keys of G heads, float (B, G, K, D).
        allowed: As in `attention_weights`.
        scaling: Likewise.

    Returns:
        Float32 (B, G, K).
    """
    rows, heads, queries, _ = query.shape
    group, keys = key.shape[1], key.shape[2]
    size = max(1, _PART // max(1, heads * queries * keys))
    parts = []
    for first in range(0, rows, size):
        part = slice(first, first + size)
        weights = attention_weights(
            query[part], key[part], None if allowed is None else allowed[part], scaling
        )
        parts.append(weights.amax(2).view(-1, group, heads // group, keys).amax(2))
    return torch.cat(parts)


def keep_greatest(scores: Tensor, ratio: int) -> Tensor:
    """Keep one in ``ratio`` of a memory's keys, rounded up, over all layers and heads.

    Args:
        scores: Of each key, float (L, G, N) of L layers with G heads and N tokens.
        ratio: Tokens per kept state, 1 or more; a mean over layers and heads.

    Returns:
        Which are kept, bool (L, G, N).
    """
    flat = scores.flatten()
    best = flat.argsort(descending=True, stable=True)[: -(-len(flat) // ratio)]
    kept = torch.zeros_like(flat, dtype=torch.bool)
    kept[best] = True
    return kept.view_as(scores)
