"""A lookup table from every latent code to the token it decodes to by itself.

Tokens start on a grid of codes (see `agentmem.models.autoencoder.initialization`), so a code
without its context identifies its token nearly always. The reranker looks codes up here; only exact
text needs the decoder.
"""

from __future__ import annotations

import torch
from torch import Tensor

from agentmem.models.autoencoder.configuration import LEVELS
from agentmem.models.autoencoder.modeling import MemoryAutoencoder

# Codes decoded in one batch while the table is made.
_BATCH = 4096


@torch.no_grad()
def token_table(autoencoder: MemoryAutoencoder) -> Tensor:
    """The token that the frozen decoder regenerates from each code alone, int32 (255 ** s,).

    `agentmem.models.autoencoder.rounding.code_indices` gives a code's index.
    """
    axis = torch.arange(-LEVELS, LEVELS + 1)
    codes = torch.cartesian_prod(*[axis] * autoencoder.config.slot_dims)
    codes = codes.reshape(-1, 1, autoencoder.config.slot_dims).to(autoencoder.dtype)
    finest = next(iter(autoencoder.config.quantizations))
    logits = (
        autoencoder.decode_codes(part.to(autoencoder.device) / LEVELS, None, finest)
        for part in torch.split(codes, _BATCH)
    )
    return torch.cat([batch.argmax(-1)[:, 0] for batch in logits]).int().cpu()
