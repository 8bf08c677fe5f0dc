"""Keys and values of memories, each made from one memory alone by the language model itself.

A memory is read behind a sink token, the first token of the template, whose own states are
dropped. Its states do not depend on what else is read, so they are made once and are good in every
context: reading moves the keys to the positions that the memory's text would have there, which for
rotary embeddings is one more rotation (Su et al. 2021, arXiv 2104.09864; blocks that are encoded
alone: Block-Attention, arXiv 2409.15355).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from agentmem.errors import ModelError

# Largest difference of keys, relative to their size, that rounding explains (bfloat16 included).
_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class MemoryStates:
    """What every layer keeps of one memory of N tokens.

    Attributes:
        keys: Keys of each layer, rotated for a memory whose first token stands at position 0,
            float (G, N, D) with G key-value heads of D dims.
        values: Values of each layer, likewise.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    def __len__(self) -> int:
        return self.keys[0].shape[1]

    @property
    def stored_bytes(self) -> int:
        """Bytes that the states take in memory."""
        return sum(t.numel() * t.element_size() for t in (*self.keys, *self.values))


@torch.no_grad()
def encode_memories(
    model: Any, memories: Sequence[Sequence[int]], *, sink: int, tokens: int = 4096
) -> list[MemoryStates]:
    """Run memories through a causal language model, each by itself.

    Args:
        model: A Hugging Face causal language model with rotary positions.
        memories: Token ids of each memory, none empty.
        sink: Token id that goes before each.
        tokens: Padded tokens of one batch.

    Returns:
        The states of each memory, in the order given.
    """
    device = model.get_input_embeddings().weight.device
    found: dict[int, MemoryStates] = {}
    order = sorted(range(len(memories)), key=lambda i: len(memories[i]))
    while order:
        # The longest of a batch is its last: as many as stay within the budget.
        size = 1
        while size < len(order) and (size + 1) * (len(memories[order[size]]) + 1) <= tokens:
            size += 1
        batch, order = order[:size], order[size:]
        length = len(memories[batch[-1]]) + 1
        ids = torch.full((size, length), sink, device=device)
        mask = torch.zeros((size, length), dtype=torch.long, device=device)
        for row, index in enumerate(batch):
            ids[row, 1 : len(memories[index]) + 1] = torch.as_tensor(memories[index], device=device)
            mask[row, : len(memories[index]) + 1] = 1
        # The sink stands at 0 here, so that keys come out rotated one position too far.
        cache = DynamicCache()
        model.model(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True)
        back = [
            _rotate(model, index, layer.keys, torch.full((length,), -1, device=device))
            for index, layer in enumerate(cache.layers)
        ]
        for row, index in enumerate(batch):
            end = len(memories[index]) + 1
            found[index] = MemoryStates(
                tuple(keys[row, :, 1:end].clone() for keys in back),
                tuple(layer.values[row, :, 1:end].clone() for layer in cache.layers),
            )
    return [found[index] for index in range(len(memories))]


@torch.no_grad()
def append_memories(
    model: Any, cache: DynamicCache, memories: Sequence[MemoryStates], start: int
) -> int:
    """Put memories behind what a cache holds, one after the other, at the positions of their text.

    Args:
        model: The language model that made the states.
        cache: Of one sequence; changed in place.
        memories: Their states.
        start: Position of the first memory's first token.

    Returns:
        The position behind the last memory.
    """
    for index in range(len(cache.layers)):
        if not memories:
            break
        layer, at = cache.layers[index], start
        keys, values = [layer.keys], [layer.values]
        for states in memories:
            moved = torch.full((len(states),), at, device=layer.keys.device)
            keys.append(_rotate(model, index, states.keys[index][None].to(layer.keys), moved))
            values.append(states.values[index][None].to(layer.values))
            at += len(states)
        layer.keys, layer.values = torch.cat(keys, dim=2), torch.cat(values, dim=2)
    return start + sum(map(len, memories))


@torch.no_grad()
def check_rotary(model: Any, sink: int) -> None:
    """See by trial that a model's keys move by rotation, as `append_memories` moves them.

    Raises:
        ModelError: they do not: the model has other position embeddings, or none.
    """
    base = getattr(model, "model", None)
    if base is None or not hasattr(base, "rotary_emb"):
        raise ModelError(
            f"{type(model).__name__} has no rotary position embeddings: memories can be read as "
            f"states by models such as Llama, Qwen, Mistral and Gemma"
        )
    ids = torch.tensor([[sink, sink]], device=model.get_input_embeddings().weight.device)
    here, there = DynamicCache(), DynamicCache()
    for cache, start in ((here, 0), (there, 7)):
        positions = torch.arange(start, start + 2, device=ids.device)[None]
        base(input_ids=ids, position_ids=positions, past_key_values=cache, use_cache=True)
    for index, (one, other) in enumerate(zip(here.layers, there.layers, strict=True)):
        moved = _rotate(model, index, one.keys, torch.full((2,), 7, device=ids.device))
        error = (moved - other.keys).float().norm() / other.keys.float().norm().clamp(min=1e-6)
        if error > _TOLERANCE:
            raise ModelError(
                f"{type(model).__name__} does not rotate its keys as Llama does (layer {index}): "
                f"its memories cannot be moved to where they are read; give it text"
            )


def _rotate(model: Any, layer: int, keys: Tensor, by: Tensor) -> Tensor:
    """Keys (B, G, N, D) moved by a number of positions each, int (N,)."""
    rotary = model.model.rotary_emb
    kinds = getattr(model.config, "layer_types", None)
    if kinds is not None and hasattr(rotary, f"{kinds[layer]}_inv_freq"):
        cos, sin = rotary(keys.float(), by[None], kinds[layer])
        scale = getattr(rotary, f"{kinds[layer]}_attention_scaling")
    else:
        cos, sin = rotary(keys.float(), by[None])
        scale = rotary.attention_scaling
    # Keys carry the scale of long-context variants already.
    cos, sin = cos[:, None] / scale, sin[:, None] / scale
    width = cos.shape[-1]
    turning, still = keys[..., :width].float(), keys[..., width:]
    half = width // 2
    turned = torch.cat([-turning[..., half:], turning[..., :half]], dim=-1)
    moved = (turning * cos + turned * sin).to(keys.dtype)
    return torch.cat([moved, still], dim=-1) if still.shape[-1] else moved
