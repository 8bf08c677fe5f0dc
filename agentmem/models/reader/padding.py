"""Texts of unequal length as one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor


def pad(
    rows: Sequence[Sequence[int]], filler: int, *, side: Literal["left", "right"]
) -> tuple[Tensor, Tensor]:
    """Put ids side by side.

    Args:
        rows: B texts; at least one.
        filler: The id of padding.
        side: Where it goes: to the left of what is to be continued, to the right of what is whole.

    Returns:
        Ids int64 (B, T), and their mask, int64 (B, T), 0 on padding.
    """
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), filler)
    mask = torch.zeros(len(rows), longest, dtype=torch.int64)
    for at, row in enumerate(rows):
        place = slice(longest - len(row), longest) if side == "left" else slice(len(row))
        ids[at, place] = torch.tensor(row, dtype=torch.int64)
        mask[at, place] = 1
    return ids, mask
