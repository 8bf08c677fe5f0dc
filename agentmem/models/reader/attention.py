"""Attention masks for batches of reading sequences (see `agentmem.models.reader.sequence`).

In a pass over memories and branches at once, keys count twice: first at the positions of their own
pass, which memories see, and again where branches see them. One call of the usual attention over
both does it, with a mask that chooses between them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from agentmem.models.reader.rotary import Rotation, rotate
from agentmem.models.reader.sequence import BRANCH, MEMORY, PADDING, PREFIX

# The name of `_moving_attention` in a model's configuration.
MOVING_ATTENTION = "agentmem_moving"


def block_mask(kinds: Tensor, segments: Tensor, kept: Tensor) -> Tensor:
    """The attention mask of a batch whose memories do not see each other.

    Args:
        kinds: Kind of each position, int (B, T); `PADDING` after a sequence's end.
        segments: Segment of each position, int (B, T).
        kept: Which memory tokens a branch may see, bool (B, T).

    Returns:
        True where a query may see a key, bool (B, 1, T, 2 T): first the keys of each token's own
        pass, then those where branches see them. A padded position sees itself, so that no row of
        the softmax is empty.
    """
    same = segments[:, :, None] == segments[:, None, :]
    branch = (kinds == BRANCH)[:, :, None]
    memory = (kinds == MEMORY)[:, :, None]
    prefix = (kinds == PREFIX)[:, None, :]
    made = _finish(kinds, same | (memory & prefix)) & ~branch[:, None]
    visible = prefix | ((kinds == MEMORY) & kept)[:, None, :]
    read = _finish(kinds, same | visible) & branch[:, None]
    return torch.cat([made, read], dim=-1)


def text_mask(kinds: Tensor, segments: Tensor) -> Tensor:
    """The attention mask of the same batch read as plain text, bool (B, 1, T, T).

    Args:
        kinds: As in `block_mask`.
        segments: Likewise.
    """
    same = segments[:, :, None] == segments[:, None, :]
    text = (kinds == PREFIX) | (kinds == MEMORY)
    return _finish(kinds, text[:, None, :] | (same & (kinds == BRANCH)[:, None, :]))


def masks_for(lm: Any, allowed: Tensor, queries: Tensor, keys: Tensor) -> Any:
    """A mask in the format that a language model expects.

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


# Not compiled with the layer around it: the compiler would copy the mask, once for each head.
@torch.compiler.disable  # type: ignore[untyped-decorator]
def _moving_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *args: Any,
    moved: dict[str, Rotation] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of torch; with ``moved`` over keys (B, G, T, D) and the same keys rotated on."""
    if moved is not None:
        kinds = getattr(module.config, "layer_types", None)
        again = rotate(key, moved[kinds[module.layer_idx] if kinds else next(iter(moved))])
        key, value = torch.cat([key, again], dim=2), torch.cat([value, value], dim=2)
    found: tuple[Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, *args, **kwargs
    )
    return found


def _finish(kinds: Tensor, allowed: Tensor) -> Tensor:
    """Make a mask causal, and let each padded position attend to itself alone."""
    length = kinds.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=kinds.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=kinds.device)
    real = kinds != PADDING
    allowed = allowed & causal & real[:, None, :] & real[:, :, None]
    return (allowed | itself)[:, None]


AttentionInterface.register(MOVING_ATTENTION, _moving_attention)
AttentionMaskInterface.register(MOVING_ATTENTION, sdpa_mask)
