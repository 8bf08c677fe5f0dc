"""Keys and values of memories, each made from one memory alone by the language model itself.

A memory is read behind a prefix, such as the chat template up to the memories, whose own states are
dropped. Its states do not depend on what else is read, so they are made once and are good in every
context: keys are kept before rotation, and reading rotates them to the positions that the memory's
text would have there (rotary embeddings: Su et al. 2021, arXiv 2104.09864; blocks that are encoded
alone: Block-Attention, arXiv 2409.15355).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from agentmem.errors import ModelError
from agentmem.models.reader.rotary import rotate, rotation, rotations

# Kinds of rotary embeddings whose angles change as the context grows: keys that are in a cache
# already cannot follow.
_CHANGING = ("dynamic", "longrope")
# Largest relative difference of keys that rounding explains: with bfloat16 and 30 layers it is
# 0.04. Keys that are not rotated, or differently, differ by half their norm and more.
_TOLERANCE = 0.2
# Padded tokens that are accepted in every batch.
_PADDING = 64
# Positions by which keys are moved in the check: enough to see low frequencies.
_TRIAL = 50


@dataclass(frozen=True, slots=True, eq=False)
class MemoryStates:
    """Keys and values of one memory of N tokens, of every layer.

    Attributes:
        keys: Keys of each layer before rotation, float (G, N, D) with G key-value heads of D dims.
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
    model: Any, memories: Sequence[Sequence[int]], *, prefix: Sequence[int], tokens: int = 4096
) -> list[MemoryStates]:
    """Run memories through a causal language model, each by itself behind the same prefix.

    Args:
        model: A Hugging Face causal language model with rotary positions.
        memories: Token ids of each memory, none empty.
        prefix: Token ids that each memory sees before it, at least one: what says what it is read
            for, and takes the attention that first tokens attract. Its own states are dropped.
        tokens: Most padded tokens of one batch; a longer memory is a batch by itself.

    Returns:
        The states of each memory, in the order given.
    """
    found = dict(state_passes(model, memories, prefix, tokens))
    return [found[index] for index in range(len(memories))]


def state_passes(
    model: Any,
    memories: Sequence[Sequence[int]],
    prefix: Sequence[int],
    tokens: int,
    *,
    on_batch: Callable[[list[int]], None] = lambda batch: None,
    **options: Any,
) -> Iterator[tuple[int, MemoryStates]]:
    """`encode_memories` in batches: the index of each memory with its states.

    Args:
        model: As there.
        memories: Likewise.
        prefix: Likewise.
        tokens: Likewise.
        on_batch: Called before each batch with the indices of its memories.
        options: Further arguments for the model's layers.
    """
    if not memories:
        return
    device = model.get_input_embeddings().weight.device
    start = len(prefix)
    behind = DynamicCache()
    model.model(
        input_ids=torch.tensor([list(prefix)], device=device),
        past_key_values=behind,
        use_cache=True,
    )
    for batch in _batches([len(memory) for memory in memories], tokens):
        on_batch(batch)
        size, length = len(batch), len(memories[batch[-1]])
        ids = torch.full((size, length), prefix[0], device=device)
        mask = torch.zeros((size, start + length), dtype=torch.long, device=device)
        mask[:, :start] = 1
        for row, index in enumerate(batch):
            ids[row, : len(memories[index])] = torch.as_tensor(memories[index], device=device)
            mask[row, start : start + len(memories[index])] = 1
        cache = deepcopy(behind)
        cache.batch_repeat_interleave(size)
        model.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=torch.arange(start, start + length, device=device)[None],
            past_key_values=cache,
            use_cache=True,
            **options,
        )
        back = -torch.arange(start, start + length, device=device)
        held = [
            (rotate(keys[:, :, start:], rotation(model, index, back[None])), values[:, :, start:])
            for index, (keys, values) in enumerate(_held(cache))
        ]
        for row, index in enumerate(batch):
            end = len(memories[index])
            # Copies: a view would keep the whole batch alive.
            states = MemoryStates(
                tuple(keys[row, :, :end].clone() for keys, _ in held),
                tuple(values[row, :, :end].clone() for _, values in held),
            )
            yield index, states


def _batches(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Indices of memories in batches of similar length, each in ascending order of length.

    A batch ends where it would exceed so many padded tokens, or where padding would take more time
    than another batch saves.
    """
    batches: list[list[int]] = []
    held = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        padded = (len(batches[-1]) + 1) * lengths[index] if batches else 0
        wasted = padded - held - lengths[index]
        if batches and padded <= tokens and wasted <= max(_PADDING, padded // 8):
            batches[-1].append(index)
            held += lengths[index]
        else:
            batches.append([index])
            held = lengths[index]
    return batches


@torch.no_grad()
def append_memories(
    model: Any, cache: DynamicCache, memories: Sequence[MemoryStates], start: int
) -> int:
    """Append memories to a cache, one after the other, at the positions of their text.

    Args:
        model: The language model that made the states.
        cache: Of one sequence, maybe still empty, made without a model's configuration so that it
            forgets nothing; changed in place.
        memories: Their states.
        start: Position of the first memory's first token.

    Returns:
        The position behind the last memory.
    """
    if not memories:
        return start
    weight = model.get_input_embeddings().weight
    end = start + sum(map(len, memories))
    positions = torch.arange(start, end, device=weight.device)[None]
    for index in range(len(memories[0].keys)):
        keys = torch.cat([states.keys[index] for states in memories], dim=1)[None]
        values = torch.cat([states.values[index] for states in memories], dim=1)[None]
        keys, values = keys.to(weight), values.to(weight)
        cache.update(rotate(keys, rotation(model, index, positions)), values, index)
    return end


@torch.no_grad()
def move_keys(model: Any, cache: DynamicCache, by: Tensor) -> None:
    """Move all keys that a cache holds, in place.

    Args:
        model: The language model that made them.
        cache: Of B sequences of N positions.
        by: Positions, int (B, N).
    """
    layers: list[Any] = cache.layers
    turns = rotations(model, by)
    kinds = getattr(model.config, "layer_types", None) or list(turns) * len(layers)
    for layer, kind in zip(layers, kinds, strict=True):
        layer.keys = rotate(layer.keys, turns[kind])


@torch.no_grad()
def check_rotary(model: Any) -> None:
    """Check numerically that a model's keys can be moved by rotation, as `append_memories` does.

    Raises:
        ModelError: they do not: the model has other position embeddings, or none.
    """
    base = getattr(model, "model", None)
    if base is None or not hasattr(base, "rotary_emb"):
        raise ModelError(
            f"{type(model).__name__} has no rotary position embeddings where Llama has them: "
            f"memories can be read as states by models such as Llama, Qwen, Mistral and Gemma"
        )
    kinds = getattr(base.rotary_emb, "rope_type", "default")
    changing = set(kinds.values() if isinstance(kinds, dict) else [kinds]).intersection(_CHANGING)
    if changing:
        raise ModelError(
            f"{type(model).__name__} has rotary position embeddings of the kind "
            f"{changing.pop()!r}, which change with the length of the context: its memories cannot "
            f"be moved to where they are read; give it text"
        )
    # Several tokens: the embedding of one alone may be zero, and nothing would show.
    weight = model.get_input_embeddings().weight
    spread = [len(weight) * part // 6 for part in range(1, 6)]
    ids = torch.tensor([spread], device=weight.device)
    here, there = DynamicCache(), DynamicCache()
    for cache, start in ((here, 0), (there, _TRIAL)):
        positions = torch.arange(start, start + ids.shape[1], device=ids.device)[None]
        base(input_ids=ids, position_ids=positions, past_key_values=cache, use_cache=True)
    by = torch.full((ids.shape[1],), _TRIAL, device=ids.device)
    for index, ((keys, _), (wanted, _)) in enumerate(zip(_held(here), _held(there), strict=True)):
        moved = rotate(keys, rotation(model, index, by[None]))
        error = (moved - wanted).float().norm() / wanted.float().norm().clamp(min=1e-6)
        if error > _TOLERANCE:
            raise ModelError(
                f"{type(model).__name__} does not rotate its keys as Llama does (layer {index}): "
                f"its memories cannot be moved to where they are read; give it text"
            )


def _held(cache: DynamicCache) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of each layer, (B, G, N, D)."""
    layers: list[Any] = cache.layers
    return [(layer.keys, layer.values) for layer in layers]
