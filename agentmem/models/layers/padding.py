"""Rows of token ids of different lengths as one batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from agentmem.models.tokenizer import PAD


def pad(rows: Sequence[Sequence[int]], device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Ids int64 (B, T) and mask bool (B, T), True on tokens.

    An empty row is one token of padding, seen: attention needs something to look at.
    """
    longest = max(1, *map(len, rows))
    ids = np.full((len(rows), longest), PAD, dtype=np.int64)
    mask = np.zeros(ids.shape, dtype=np.bool_)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = row
        mask[place, : max(1, len(row))] = True
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
