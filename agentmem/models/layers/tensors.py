"""Batches of sequences of unequal length as tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentmem.models.layers.padding import pad_rows


def pad(
    rows: Sequence[Sequence[int] | NDArray[np.integer]], device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """`pad_rows` as tensors on a device."""
    ids, mask = pad_rows(rows)
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
