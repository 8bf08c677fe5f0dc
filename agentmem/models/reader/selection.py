"""Which keys and values of a memory are kept when it is compressed.

A model that reads a memory twice attends, at the second reading, to what it needs to write the
memory again. So a key's score is the greatest attention that any query of the second reading pays
to it, and the best scores of all layers and heads of a memory are kept together: some heads keep
nearly all of theirs, others hardly any (KVzip, arXiv 2505.23416). The scores depend on the memory
alone, and not on a question.

At a ratio above `KEPT_RATIO`, one state in `KEPT_RATIO` of each memory is kept, and the question
chooses which of them are read: of all memories together the best scores, each times the weight of
its token for the question, see `agentmem.models.reader.question_weights`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from agentmem.models.reader.weights import attention_weights

KEPT_RATIO = 4
"""The highest ratio at which states are kept; above it, the question chooses among these."""

NOT_KEPT = -1.0
"""The score where no state is kept; that of a kept one is 0 or more."""

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
    [kept] = keep_best([scores], -(-scores.numel() // ratio))
    return kept


def keep_best(scores: Sequence[Tensor], count: int) -> list[Tensor]:
    """Keep the best of several sets of states together, of equals the first.

    Args:
        scores: Of each set, float, of any shape; `NOT_KEPT` is never kept.
        count: How many are kept.

    Returns:
        Which are kept, bool, of the same shapes.
    """
    flat = torch.cat([own.flatten() for own in scores]) if scores else torch.zeros(0)
    best = flat.argsort(descending=True, stable=True)[:count]
    kept = torch.zeros_like(flat, dtype=torch.bool)
    kept[best] = flat[best] >= 0
    parts = torch.split(kept, [own.numel() for own in scores])
    return [part.view_as(own) for part, own in zip(parts, scores, strict=True)]
