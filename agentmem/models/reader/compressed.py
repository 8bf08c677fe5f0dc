"""Compressed memories: of each layer and head, the keys and values that matter most.

A memory is read twice in a row, behind the prefix: the first reading makes its states, the second
shows which of them it takes to write the memory again, see `agentmem.models.reader.selection`.
Where heads keep different tokens, a cache holds as many keys for each head of a layer as the head
that keeps most, and `HeldKeys` says which of them there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from agentmem.models.reader.rotary import rotate, rotation
from agentmem.models.reader.selection import NOT_KEPT, greatest_attention, keep_best, keep_greatest
from agentmem.models.reader.states import MemoryStates, state_passes

ABSENT = -1
"""The place of what a head does not keep, where another head of its layer keeps more."""


@dataclass(frozen=True, slots=True, eq=False)
class CompressedStates:
    """Kept keys and values of one memory of N tokens; n is the most that a head of a layer keeps.

    Attributes:
        tokens: N.
        indices: Of each layer, the token of each state, ascending, then `ABSENT`: int64 (G, n).
        keys: Keys of each layer before rotation, float (G, n, D) with G key-value heads of D dims.
        values: Values of each layer, likewise.
        scores: Of each state, how much it is attended to, float (G, n); `NOT_KEPT` where there is
            none.
    """

    tokens: int
    indices: tuple[Tensor, ...]
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    scores: tuple[Tensor, ...]

    def __len__(self) -> int:
        return self.tokens


@dataclass(frozen=True, slots=True, eq=False)
class HeldKeys:
    """Where the keys stand that a cache holds of a prefix and compressed memories.

    Attributes:
        positions: Of each layer, the position of each key, or `ABSENT`: int64 (G, n).
        end: The position behind them all, where text goes on.
    """

    positions: tuple[Tensor, ...]
    end: int

    def mask(self, layer: int, queries: tuple[int, int], keys: int, window: int | None) -> Tensor:
        """Which keys of a layer the last tokens see, bool (1, H, Q, K).

        Args:
            layer: Its index.
            queries: Heads H of the queries, and tokens Q.
            keys: How many keys there are, K: those held, and those of the text behind them.
            window: How far a token sees, in positions; None: no limit.
        """
        heads, count = queries
        held = self.positions[layer]
        text = torch.arange(self.end, self.end + keys - held.shape[1], device=held.device)
        positions = torch.cat([held, text.expand(len(held), -1)], dim=1)
        behind = text[len(text) - count :, None] - positions[:, None]
        seen = (behind >= 0) & (positions != ABSENT)[:, None]
        if window is not None:
            seen &= behind < window
        return seen.repeat_interleave(heads // len(held), dim=0)[None]


def compress(states: MemoryStates, scores: Tensor, ratio: int) -> CompressedStates:
    """Keep the states of a memory that are attended to most.

    Args:
        states: All of them.
        scores: How much each is attended to, float (L, G, N).
        ratio: Tokens per kept state.
    """
    every = [torch.arange(len(states), device=scores.device).expand(scores.shape[1:])] * len(scores)
    whole = CompressedStates(
        len(states), tuple(every), states.keys, states.values, tuple(scores.unbind())
    )
    return _subset(whole, list(keep_greatest(scores, ratio)))


def select(
    memories: Sequence[CompressedStates], weights: Sequence[Tensor], ratio: int
) -> list[CompressedStates]:
    """What a question reads of compressed memories: the best of their states together.

    Args:
        memories: Their states.
        weights: What each token counts for the question, float (N,) of each memory.
        ratio: Tokens per state that is read, as a mean over all memories, layers and heads.
    """
    weighted = [
        torch.where(indices == ABSENT, NOT_KEPT, scores * weight[indices.clamp(min=0)])
        for states, weight in zip(memories, weights, strict=True)
        for indices, scores in zip(states.indices, states.scores, strict=True)
    ]
    every = sum(len(states) * len(own) for states in memories for own in states.indices)
    kept = keep_best(weighted, -(-every // ratio))
    found = []
    for states in memories:
        found.append(_subset(states, kept[: len(states.indices)]))
        del kept[: len(states.indices)]
    return found


def _subset(states: CompressedStates, kept: Sequence[Tensor]) -> CompressedStates:
    """Some of the states of a memory: those that are marked in bool (G, n) of each layer."""
    indices: list[Tensor] = []
    found: tuple[list[Tensor], ...] = ([], [], [])
    numbers = zip(states.keys, states.values, states.scores, strict=True)
    for own, every, those in zip(states.indices, numbers, kept, strict=True):
        order = those.long().argsort(dim=1, descending=True, stable=True)
        count = those.sum(1)
        order = order[:, : int(count.max())]
        there = torch.arange(order.shape[1], device=order.device) < count[:, None]
        indices.append(torch.where(there, own.gather(1, order), ABSENT))
        for chosen, numbers_of, none in zip(found, every, (0.0, 0.0, NOT_KEPT), strict=True):
            wide = (..., *(None,) * (numbers_of.dim() - 2))
            taken = numbers_of.gather(1, order[wide].expand(-1, -1, *numbers_of.shape[2:]))
            chosen.append(torch.where(there[wide], taken, none))
    keys, values, scores = map(tuple, found)
    return CompressedStates(states.tokens, tuple(indices), keys, values, scores)


def encode_compressed(
    model: Any,
    memories: Sequence[Sequence[int]],
    *,
    prefix: Sequence[int],
    ratio: int,
    tokens: int = 4096,
) -> list[CompressedStates]:
    """Run memories through a causal language model as `encode_memories` does, and compress them.

    Args:
        model: As in `encode_scored`.
        memories: Likewise.
        prefix: Likewise.
        ratio: Tokens per kept state.
        tokens: As in `encode_scored`.

    Returns:
        The states of each memory, in the order given.
    """
    scored = encode_scored(model, memories, prefix=prefix, tokens=tokens)
    return [compress(states, scores, ratio) for states, scores in scored]


@torch.no_grad()
def encode_scored(
    model: Any,
    memories: Sequence[Sequence[int]],
    *,
    prefix: Sequence[int],
    tokens: int = 4096,
) -> list[tuple[MemoryStates, Tensor]]:
    """All states of memories, and how much each is attended to at a second reading.

    Args:
        model: A language model whose attention is that of `agentmem.models.reader.attention`.
        memories: Token ids of each memory, none empty.
        prefix: Token ids that each memory sees before it, at least one.
        tokens: Most padded tokens of one batch.

    Returns:
        Of each memory, in the order given, its states and their scores, float32 (L, G, N).
    """
    start = len(prefix)
    scores: dict[int, list[Tensor]] = {index: [] for index in range(len(memories))}
    batch: list[int] = []

    def watch(layer: int, query: Tensor, key: Tensor, allowed: Any, scaling: float) -> None:
        for row, index in enumerate(batch):
            size = len(memories[index])
            second = slice(size, 2 * size)
            end = start + 2 * size
            seen = None if allowed is None else allowed[row : row + 1, :, second, :end]
            weights = greatest_attention(
                query[row : row + 1, :, second], key[row : row + 1, :, :end], seen, scaling
            )
            scores[index].append(weights[0, :, start : start + size])

    found: dict[int, tuple[MemoryStates, Tensor]] = {}
    twice = [[*memory, *memory] for memory in memories]

    def begin(rows: list[int]) -> None:
        batch[:] = rows

    for index, states in state_passes(model, twice, prefix, tokens, on_batch=begin, watch=watch):
        size = len(memories[index])
        first = MemoryStates(
            tuple(keys[:, :size] for keys in states.keys),
            tuple(values[:, :size] for values in states.values),
        )
        found[index] = first, torch.stack(scores.pop(index))
    return [found[index] for index in range(len(memories))]


@torch.no_grad()
def append_compressed(
    model: Any, cache: DynamicCache, memories: Sequence[CompressedStates], start: int
) -> HeldKeys:
    """Append compressed memories to the cache of a prefix, at the positions of their text.

    Args:
        model: The language model that made the states.
        cache: Of one sequence, which holds the prefix; changed in place.
        memories: Their states.
        start: Length of the prefix.

    Returns:
        What the cache holds then.
    """
    weight = model.get_input_embeddings().weight
    held: list[Tensor] = []
    layers: list[Any] = cache.layers
    for index, layer in enumerate(layers):
        before = torch.arange(start, device=weight.device).expand(layer.keys.shape[1], -1)
        positions = [before]
        begin = start
        for states in memories:
            indices = states.indices[index].to(weight.device)
            positions.append(torch.where(indices == ABSENT, ABSENT, indices + begin))
            begin += len(states)
        held.append(torch.cat(positions, dim=1))
        if memories:
            keys = torch.cat([states.keys[index] for states in memories], dim=1).to(weight)
            values = torch.cat([states.values[index] for states in memories], dim=1).to(weight)
            # Each head as a sequence of its own: its keys have positions of their own.
            turn = rotation(model, index, held[-1][:, start:])
            cache.update(rotate(keys[:, None], turn)[:, 0][None], values[None], index)
    return HeldKeys(tuple(held), start + sum(map(len, memories)))
