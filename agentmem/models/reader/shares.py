"""How much of an answer each memory has a share in, by attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from agentmem.models.reader.compressed import HeldKeys
from agentmem.models.reader.weights import attention_weights


class AnswerShares:
    """Watches a pass over a request and its answer, and measures where the answer is from.

    Counts the attention from the position that predicted each token of the answer to positions in
    the memories that hold the same token, which is how copying shows. If the answer copies nothing,
    all attention to memories counts.

    Args:
        answer: Token ids of the answer and its end, of which each was predicted by the position
            before it: the last of the pass.
        memories: Token ids of each memory, at least one.
        start: Length of the prefix before them.
        held: Where the keys of compressed memories stand; None: one after the other.
    """

    def __init__(
        self,
        answer: Sequence[int],
        memories: Sequence[Sequence[int]],
        start: int,
        held: HeldKeys | None,
    ) -> None:
        self._answer, self._memories, self._start, self._held = answer, memories, start, held
        self._layers: list[Tensor] = []

    def watch(
        self, layer: int, query: Tensor, key: Tensor, allowed: Tensor | None, scaling: float
    ) -> None:
        """Take the weights of a layer; see `agentmem.models.reader.weights.Watch`."""
        last = slice(query.shape[2] - len(self._answer), None)
        weights = attention_weights(
            query[:, :, last],
            key,
            None if allowed is None else allowed[:, :, last],
            scaling,
        )[0].cpu()
        tokens = sum(map(len, self._memories))
        if self._held is None:
            rows = weights[:, :, self._start : self._start + tokens].mean(0)
        else:
            rows = _by_token(weights, self._held.positions[layer].cpu() - self._start, tokens)
        self._layers.append(rows)

    def found(self) -> tuple[float, ...]:
        """The share of each memory; they sum to 1, or are all 0 if none was attended to."""
        rows = torch.stack(self._layers).mean(0)
        held = torch.tensor([token for memory in self._memories for token in memory])
        copied = rows * (torch.tensor(self._answer)[:, None] == held[None, :])
        weight = copied if float(copied.sum()) > 0 else rows
        sizes = [len(memory) for memory in self._memories]
        mass = [float(part.sum()) for part in torch.split(weight, sizes, dim=1)]
        total = sum(mass)
        return tuple(part / total for part in mass) if total else (0.0,) * len(mass)


def _by_token(weights: Tensor, indices: Tensor, tokens: int) -> Tensor:
    """Weights (H, Q, K) on the first of K keys, by the token that each is of: the mean (Q, N).

    Args:
        weights: Of H heads; H / G of them share keys.
        indices: The token of each key, int (G, n); negative: of none.
        tokens: N.
    """
    heads, queries, _ = weights.shape
    each = heads // len(indices)
    found = torch.zeros(heads, queries, tokens + 1)
    # What is of no token goes behind the last one.
    columns = indices.masked_fill(indices < 0, tokens).repeat_interleave(each, dim=0)[:, None]
    found.scatter_add_(2, columns.expand(-1, queries, -1), weights[:, :, : indices.shape[1]])
    return found[:, :, :tokens].mean(0)
