"""Whole windows of exactly T tokens, drawn from packed corpus files: no padding, one shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from agentmem.errors import InputError
from agentmem.training.data.packed import PackedFile


def draw_chunks(
    files: Sequence[PackedFile],
    weights: Sequence[float],
    *,
    count: int,
    tokens: int,
    seed: Sequence[int],
) -> Tensor:
    """Draw chunks that begin anywhere in the files and flow over the ends of texts.

    Args:
        files: Where chunks are cut from.
        weights: Share of the chunks that each file gives, on average.
        count: B, number of chunks.
        tokens: T, tokens of each chunk.
        seed: The draw is a pure function of these numbers.

    Returns:
        int64 (B, T).

    Raises:
        InputError: a file has fewer than T tokens.
    """
    for file in files:
        if len(file.ids) < tokens:
            raise InputError(
                f"corpus file {file.name!r} has {len(file.ids)} tokens, a chunk needs {tokens}"
            )
    rng = np.random.default_rng(list(seed))
    shares = np.array(weights, dtype=np.float64) / sum(weights)
    chunks = np.empty((count, tokens), dtype=np.int64)
    for row, place in enumerate(rng.choice(len(files), size=count, p=shares)):
        start = int(rng.integers(0, len(files[place].ids) - tokens + 1))
        chunks[row] = files[place].ids[start : start + tokens]
    return torch.from_numpy(chunks)
