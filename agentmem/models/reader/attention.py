"""Who sees whom in a batch of reading sequences (see `agentmem.models.reader.sequence`)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from agentmem.models.reader.sequence import BRANCH, MEMORY, PADDING, PREFIX


def block_mask(kinds: Tensor, segments: Tensor, kept: Tensor) -> Tensor:
    """The attention mask of a batch whose memories do not see each other.

    Args:
        kinds: Kind of each position, int (B, T); `PADDING` behind a sequence's end.
        segments: Segment of each position, int (B, T).
        kept: Which memory tokens a branch may see, bool (B, T).

    Returns:
        True where a query may see a key, bool (B, 1, T, T). A padded position sees itself, so that
        no row of the softmax is empty.
    """
    same = segments[:, :, None] == segments[:, None, :]
    visible = (kinds == PREFIX) | ((kinds == MEMORY) & kept)
    read = (kinds == BRANCH)[:, :, None] & visible[:, None, :]
    return _finish(kinds, same | read)


def text_mask(kinds: Tensor, segments: Tensor) -> Tensor:
    """The attention mask of the same batch read as plain text: sinks are seen by nobody.

    Args:
        kinds: As in `block_mask`.
        segments: Likewise.

    Returns:
        True where a query may see a key, bool (B, 1, T, T).
    """
    same = segments[:, :, None] == segments[:, None, :]
    text = (kinds == PREFIX) | (kinds == MEMORY)
    return _finish(kinds, text[:, None, :] | (same & (kinds == BRANCH)[:, None, :]))


def masks_for(lm: Any, allowed: Tensor, queries: Tensor, keys: Tensor) -> Any:
    """A mask in the form that a language model takes.

    Layers with a sliding window see no farther than the window, counted in positions. The model
    does not add that by itself to a mask that it is given.

    Args:
        lm: The causal language model.
        allowed: True where a query may see a key, bool (B, 1, Q, K).
        queries: Positions of the queries, int (B, Q).
        keys: Positions of the keys, int (B, K).

    Returns:
        One mask (B, 1, Q, K) for all layers, or a dict of one for each type of layer; bool, but
        for attention in plain torch ("eager"), which adds it: float, very negative where False.
    """
    config = lm.config
    types = getattr(config, "layer_types", None)
    window = getattr(config, "sliding_window", None)

    def form(mask: Tensor) -> Tensor:
        if config._attn_implementation != "eager":
            return mask
        least = torch.finfo(lm.dtype).min
        return torch.zeros_like(mask, dtype=lm.dtype).masked_fill(~mask, least)

    if window is None:
        return form(allowed)
    near = allowed & ((queries[:, :, None] - keys[:, None, :]) < window)[:, None]
    if types is None:
        return form(near)
    return {
        kind: form(near if kind == "sliding_attention" else allowed) for kind in sorted(set(types))
    }


def _finish(kinds: Tensor, allowed: Tensor) -> Tensor:
    """Causal order, and padding that is seen by itself alone."""
    length = kinds.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=kinds.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=kinds.device)
    real = kinds != PADDING
    allowed = allowed & causal & real[:, None, :] & real[:, :, None]
    return (allowed | itself)[:, None]
