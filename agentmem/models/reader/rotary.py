"""Moving the keys of a language model to other positions: for rotary embeddings, one more rotation.

Su et al. 2021, arXiv 2104.09864.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

Rotation = tuple[Tensor, Tensor]
"""Cosines and sines, float (B, 1, N, R): of N tokens, for the R dims that rotate."""


@torch.no_grad()
def rotation(model: Any, layer: int, by: Tensor) -> Rotation:
    """What moves the keys of one layer by a number of positions each.

    Args:
        model: A Hugging Face causal language model with rotary positions.
        layer: Index of the layer: some models have another base in some layers.
        by: Positions, int (B, N).
    """
    rotary = model.model.rotary_emb
    kinds = getattr(model.config, "layer_types", None)
    like = torch.empty(0, dtype=torch.float32, device=by.device)
    if kinds is not None and kinds[layer] == "sliding_attention":
        # Gemma in version 4 of transformers has a module for each kind of layer.
        rotary = getattr(model.model, "rotary_emb_local", rotary)
    if kinds is not None and hasattr(rotary, f"{kinds[layer]}_inv_freq"):
        cos, sin = rotary(like, by, kinds[layer])
        scale = getattr(rotary, f"{kinds[layer]}_attention_scaling")
    else:
        cos, sin = rotary(like, by)
        scale = rotary.attention_scaling
    # Keys carry the scale of long-context variants already.
    return cos[:, None] / scale, sin[:, None] / scale


def rotations(model: Any, by: Tensor) -> dict[str, Rotation]:
    """`rotation` for each type of layer of a model, by its name in the configuration."""
    kinds = getattr(model.config, "layer_types", None) or ["full_attention"]
    return {kind: rotation(model, kinds.index(kind), by) for kind in dict.fromkeys(kinds)}


def rotate(keys: Tensor, by: Rotation) -> Tensor:
    """Keys (B, G, N, D) moved on; dims behind the first R do not rotate."""
    cos, sin = by
    width = cos.shape[-1]
    turning, still = keys[..., :width].float(), keys[..., width:]
    half = width // 2
    turned = torch.cat([-turning[..., half:], turning[..., :half]], dim=-1)
    moved = (turning * cos + turned * sin).to(keys.dtype)
    return torch.cat([moved, still], dim=-1) if still.shape[-1] else moved
