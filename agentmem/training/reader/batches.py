"""Batches of reading sequences of similar length, in a reproducible order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from agentmem.models.reader.modeling import ReadingBatch
from agentmem.models.reader.sequence import IGNORED, PADDING, ReadingSequence

# Lengths are padded to multiples of this, so that few shapes occur.
_ROUND = 128


def plan(lengths: NDArray[np.int64], *, tokens: int, seed: int) -> Iterator[tuple[int, list[int]]]:
    """Endless batches: the padded length, and the indices of exercises.

    Every epoch contains every exercise once, except for the few that do not fill a batch. If no
    batch is full, because there are few exercises, incomplete ones are used.

    Args:
        lengths: Tokens of each exercise, int (E,).
        tokens: Padded tokens of a batch.
        seed: Determines the order.
    """
    padded = np.maximum(_ROUND, -(-lengths // _ROUND) * _ROUND)
    random = np.random.default_rng(seed)
    while True:
        waiting: dict[int, list[int]] = {}
        order = random.permutation(len(lengths))
        full = False
        for index in order.tolist():
            length = int(padded[index])
            row = waiting.setdefault(length, [])
            row.append(index)
            if len(row) >= max(1, tokens // length):
                full = True
                yield length, waiting.pop(length)
        if not full:
            yield from waiting.items()


def collate(sequences: Sequence[ReadingSequence], length: int) -> ReadingBatch:
    """Collate sequences to a batch, padded to a length."""
    rows = len(sequences)

    def padded(name: str, fill: float, dtype: type[np.generic]) -> torch.Tensor:
        out = np.full((rows, length), fill, dtype=dtype)
        for row, sequence in zip(out, sequences, strict=True):
            row[: len(sequence)] = getattr(sequence, name)
        return torch.from_numpy(out)

    return ReadingBatch(
        padded("ids", 0, np.int64),
        padded("kinds", PADDING, np.int64),
        padded("segments", -1, np.int64),
        padded("positions", 0, np.int64),
        padded("moves", 0, np.int64),
        padded("labels", IGNORED, np.int64),
        padded("weights", 0.0, np.float32),
    )
