"""What a slot's code says by itself: a table from every code to a token.

Tokens start on a lattice of codes (see `lattice`), so that a code that stands alone names its
token nearly always. A reader and a reranker look it up there; only exact text needs the decoder.
"""

from __future__ import annotations

import torch
from torch import Tensor

from agentmem.models.autoencoder.configuration import LEVELS
from agentmem.models.autoencoder.modeling import MemoryAutoencoder

# Values of one dim of a code.
CODES = 2 * LEVELS + 1
# Codes decoded together while the table is made.
_AT_ONCE = 4096


def cells_of(codes: Tensor) -> Tensor:
    """Codes (..., s), whole numbers from -127 to 127, to their places in `read_codes`, (...)."""
    cells = torch.zeros_like(codes[..., 0])
    for dim in range(codes.shape[-1]):
        cells = cells * CODES + codes[..., dim] + LEVELS
    return cells


@torch.no_grad()
def read_codes(autoencoder: MemoryAutoencoder) -> Tensor:
    """The token that the frozen decoder reads in each code by itself, int32 (255 ** s,)."""
    axis = torch.arange(-LEVELS, LEVELS + 1)
    codes = torch.cartesian_prod(*[axis] * autoencoder.config.slot_dims)
    codes = codes.reshape(-1, 1, autoencoder.config.slot_dims).to(autoencoder.dtype)
    finest = next(iter(autoencoder.config.densities))
    read = [
        autoencoder.decode_tape(part.to(autoencoder.device) / LEVELS, None, finest).argmax(-1)[:, 0]
        for part in torch.split(codes, _AT_ONCE)
    ]
    return torch.cat(read).int().cpu()
