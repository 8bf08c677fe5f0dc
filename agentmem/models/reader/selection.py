"""Which tokens of a memory keep a state of their own when it is compressed.

Names, numbers and rare words are what questions ask for and what a language model predicts badly;
what it predicts well can be dropped, and the kept tokens after it take over its content. So the
score of a token is its surprisal in the memory pass, plus half that of its neighbors, which keeps
the pieces of a name together. The last token is always kept: only it has seen the whole memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

from agentmem.models.reader.sequence import MEMORY


def keep_surprising(surprisal: Tensor, kinds: Tensor, segments: Tensor, ratio: int) -> Tensor:
    """Keep one of ``ratio`` tokens of each memory, at least one.

    Args:
        surprisal: Cross-entropy of each token given those before it in its memory, in nats,
            float (B, T).
        kinds: Kind of each position, int (B, T).
        segments: Segment of each position, int (B, T).
        ratio: Tokens per kept state; 1 keeps all.

    Returns:
        Which positions are kept, bool (B, T); only memory tokens are.
    """
    memory = kinds == MEMORY
    if ratio == 1:
        return memory
    length = kinds.shape[1]
    inside = surprisal.float().masked_fill(~memory, 0.0)
    before = torch.zeros_like(inside)
    before[:, 1:] = inside[:, :-1] * (segments[:, 1:] == segments[:, :-1])
    behind = torch.zeros_like(inside)
    behind[:, :-1] = inside[:, 1:] * (segments[:, 1:] == segments[:, :-1])
    score = inside + 0.5 * (before + behind)
    last = memory.clone()
    last[:, :-1] &= segments[:, 1:] != segments[:, :-1]
    score = score.masked_fill(last, float("inf")).masked_fill(~memory, -float("inf"))
    # Rank of each token within its memory: sort by score, then stably by segment.
    order = score.argsort(dim=1, descending=True, stable=True)
    order = order.gather(1, segments.gather(1, order).argsort(dim=1, stable=True))
    sorted_segments = segments.gather(1, order)
    index = torch.arange(length, device=kinds.device).expand_as(kinds)
    new = torch.ones_like(memory)
    new[:, 1:] = sorted_segments[:, 1:] != sorted_segments[:, :-1]
    first = torch.where(new, index, torch.zeros_like(index)).cummax(dim=1).values
    rank = torch.zeros_like(index).scatter(1, order, index - first)
    count = torch.zeros(kinds.shape[0], length + 1, dtype=torch.long, device=kinds.device)
    count.scatter_add_(1, segments.long().clamp(min=0), memory.long())
    size = count.gather(1, segments.long().clamp(min=0))
    return memory & (rank < (size + ratio - 1) // ratio)
