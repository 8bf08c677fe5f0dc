"""One sequence that holds a prompt, its memories, and questions with answers about them.

A memory's states are made from that memory alone, behind the prompt's prefix, and a text reads them
where the memory's text would stand. All of it fits into one sequence::

    prefix | memory-1 | memory-2 | ... | branch-1 | branch-2 | ...

- the prefix (the chat template up to the memories) sees itself;
- a memory sees the prefix and itself, from directly behind the prefix, wherever it is read later;
- a branch (a question and its answer) sees the prefix, the kept tokens of all memories, and itself.
  Branches do not see each other, so that many questions share one pass over their memories.

So a memory token has two positions: the one where its states are made, and the one that it has in
the plain text, where branches see it. Each branch continues behind the last memory. Ratio 0 reads
the same sequence as plain text: memories see each other too, which is the baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Kinds of positions in a sequence.
PREFIX, MEMORY, BRANCH = 0, 1, 2
PADDING = -1
IGNORED = -100
"""The label of a token without a target, as in `torch.nn.functional.cross_entropy`."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Tokens that follow the memories: a prompt, and the continuation to be predicted from it.

    Attributes:
        prompt: Token ids of the prompt.
        target: Token ids to predict; may be empty.
        weight: Weight of each target token in the loss.
    """

    prompt: Sequence[int]
    target: Sequence[int] = ()
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ReadingSequence:
    """Token ids with the inputs for masks, positions and loss; all arrays have shape (T,).

    Attributes:
        ids: Token ids, int64.
        kinds: PREFIX, MEMORY or BRANCH, int8.
        segments: 0 for the prefix, then one number for each memory and each branch, int32.
        positions: Position ids of each token's own pass: a memory's begin behind the prefix, int64.
        moves: By how many positions a token stands farther on where branches see it: for memories
            the tokens of those before it, else 0; int64.
        labels: The token to predict at each position of a branch's target, else `IGNORED`, int64.
        weights: Weight of each label, float32.
    """

    ids: NDArray[np.int64]
    kinds: NDArray[np.int8]
    segments: NDArray[np.int32]
    positions: NDArray[np.int64]
    moves: NDArray[np.int64]
    labels: NDArray[np.int64]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)


def lay_out(
    prefix: Sequence[int],
    memories: Sequence[Sequence[int]],
    branches: Sequence[Branch],
) -> ReadingSequence:
    """Put a prefix, memories and branches into one sequence.

    Args:
        prefix: Token ids before the memories.
        memories: Token ids of each memory.
        branches: What follows the memories.
    """
    ids: list[int] = list(prefix)
    kinds = [PREFIX] * len(prefix)
    segments = [0] * len(prefix)
    positions = list(range(len(prefix)))
    moves = [0] * len(prefix)
    before = 0
    segment = 0
    for memory in memories:
        segment += 1
        ids += memory
        kinds += [MEMORY] * len(memory)
        segments += [segment] * len(memory)
        positions += range(len(prefix), len(prefix) + len(memory))
        moves += [before] * len(memory)
        before += len(memory)
    start = len(prefix) + before
    labels = [IGNORED] * len(ids)
    weights = [0.0] * len(ids)
    for branch in branches:
        segment += 1
        tokens = [*branch.prompt, *branch.target]
        ids += tokens
        kinds += [BRANCH] * len(tokens)
        segments += [segment] * len(tokens)
        positions += range(start, start + len(tokens))
        moves += [0] * len(tokens)
        labels += [IGNORED] * len(branch.prompt) + list(branch.target)
        weights += [0.0] * len(branch.prompt) + [branch.weight] * len(branch.target)
    return ReadingSequence(
        np.asarray(ids, dtype=np.int64),
        np.asarray(kinds, dtype=np.int8),
        np.asarray(segments, dtype=np.int32),
        np.asarray(positions, dtype=np.int64),
        np.asarray(moves, dtype=np.int64),
        np.asarray(labels, dtype=np.int64),
        np.asarray(weights, dtype=np.float32),
    )
