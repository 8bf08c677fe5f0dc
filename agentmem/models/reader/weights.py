"""Attention weights, computed beside the attention that does not return them."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Watch(Protocol):
    """Looks at the attention of each layer during a pass."""

    def __call__(
        self, layer: int, query: Tensor, key: Tensor, allowed: Tensor | None, scaling: float
    ) -> None:
        """Look at a layer.

        Args:
            layer: Its index.
            query: Queries, float (B, H, Q, D).
            key: Keys, float (B, G, K, D).
            allowed: As in `attention_weights`.
            scaling: Likewise.
        """


def attention_weights(query: Tensor, key: Tensor, allowed: Tensor | None, scaling: float) -> Tensor:
    """The softmax of queries over keys.

    Args:
        query: Queries of H heads, float (B, H, Q, D).
        key: Keys of G heads, float (B, G, K, D); H / G heads of queries share one.
        allowed: True where a query may see a key, bool (B, 1 or H, Q, K). None: each sees the keys
            up to its own, where the queries are those of the last keys.
        scaling: Factor of the products.

    Returns:
        Float32 (B, H, Q, K).
    """
    shared = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    products = (query @ shared.transpose(-1, -2)).float() * scaling
    if allowed is None:
        queries, keys = products.shape[-2:]
        every = torch.ones(queries, keys, dtype=torch.bool, device=query.device)
        allowed = every.tril(keys - queries)
    return products.masked_fill(~allowed, -torch.inf).softmax(-1)
