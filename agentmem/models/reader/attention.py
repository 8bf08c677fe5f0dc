"""Attention masks for batches of reading sequences (see `agentmem.models.reader.sequence`).

In a pass over memories and branches at once, keys count twice: first at the positions of their own
pass, which memories see, and again where branches see them. One call of the usual attention over
both does it, with a mask that chooses between them. Of a compressed memory, each head of each layer
sees keys of its own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from agentmem.models.reader.compressed import HeldKeys
from agentmem.models.reader.rotary import Rotation, rotate
from agentmem.models.reader.sequence import BRANCH, MEMORY, PADDING, PREFIX
from agentmem.models.reader.weights import Watch

# The name of `_moving_attention` in a model's configuration.
MOVING_ATTENTION = "agentmem_moving"


def block_mask(kinds: Tensor, segments: Tensor) -> Tensor:
    """The attention mask of a batch whose memories do not see each other.

    Args:
        kinds: Kind of each position, int (B, T); `PADDING` after a sequence's end.
        segments: Segment of each position, int (B, T).

    Returns:
        True where a query may see a key, bool (B, 1, T, 2 T): first the keys of each token's own
        pass, then those where branches see them. A padded position sees itself, so that no row of
        the softmax is empty.
    """
    branch = (kinds == BRANCH)[:, None, :, None]
    same = segments[:, :, None] == segments[:, None, :]
    visible = ((kinds == PREFIX) | (kinds == MEMORY))[:, None, :]
    read = _finish(kinds, same | visible) & branch
    return torch.cat([made_mask(kinds, segments) & ~branch, read], dim=-1)


def made_mask(kinds: Tensor, segments: Tensor) -> Tensor:
    """The attention mask of tokens that see the prefix and their own segment, bool (B, 1, T, T).

    Args:
        kinds: As in `block_mask`.
        segments: Likewise.
    """
    same = segments[:, :, None] == segments[:, None, :]
    memory = (kinds == MEMORY)[:, :, None]
    return _finish(kinds, same | (memory & (kinds == PREFIX)[:, None, :]))


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
    *,
    scaling: float | None = None,
    moved: dict[str, Rotation] | None = None,
    visible: Tensor | None = None,
    held: HeldKeys | None = None,
    watch: Watch | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of torch, over keys (B, G, K, D), with what else a pass may ask for.

    With ``moved``, over the same keys again, rotated on. With ``visible``, bool (L, B, G, T), each
    head sees only some of the keys of T tokens, those that are moved. With ``held``, it sees what
    that says of the keys that a cache holds, and those after them up to its own.
    """
    layer: int = module.layer_idx
    if moved is not None:
        kinds = getattr(module.config, "layer_types", None)
        again = rotate(key, moved[kinds[module.layer_idx] if kinds else next(iter(moved))])
        key, value = torch.cat([key, again], dim=2), torch.cat([value, value], dim=2)
    if visible is not None:
        assert attention_mask is not None  # one pass over everything, or a step of decoding
        attention_mask = _narrow(attention_mask, visible[layer], query.shape[1], moved is not None)
    if held is not None:
        window = kwargs.get("sliding_window")
        heads, tokens = query.shape[1:3]
        attention_mask = held.mask(layer, (heads, tokens), key.shape[2], window)
    if watch is not None:
        factor = query.shape[-1] ** -0.5 if scaling is None else scaling
        watch(layer, query, key, attention_mask, factor)
    found: tuple[Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, scaling=scaling, **kwargs
    )
    return found


def _narrow(mask: Tensor, visible: Tensor, heads: int, behind: bool) -> Tensor:
    """A mask (B, 1, Q, K) for each head, where some keys (B, G, T) cannot be seen.

    They are the last T if ``behind``, else the first T; all others stay as they are.
    """
    rest = torch.ones_like(visible[..., :1]).expand(
        *visible.shape[:2], mask.shape[-1] - visible.shape[-1]
    )
    columns = torch.cat([rest, visible] if behind else [visible, rest], dim=-1)
    return mask & columns.repeat_interleave(heads // columns.shape[1], dim=1)[:, :, None]


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
