"""Where tokens start: on a lattice of codes that the decoder can already tell apart.

Started at random, an autoencoder with two or four numbers per token spends most of its training
on giving thousands of rare tokens codes of their own, and uniformly random ids are the last thing
it learns. Here every token starts with a code of its own on a regular lattice, the token embedding
starts with the sines and cosines of that code, and the blocks start as identities. The decoder's
lift of a code then meets the tied head's rows as a kernel,
``sum over octaves cos(pi 2^k (z - c))``, which is largest at the right token. Training starts from
"every token regenerated" and learns what context can add: room for coarser codes.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

from agentmem.models.autoencoder.modeling import LEVELS, MemoryAutoencoder

# Codes keep this distance from the ends of (-1, 1), where tanh is too flat to learn.
_REACH = 0.95
# Norm of the part of an embedding that is not its code.
_OTHER_NORM = 1.0
# Largest logit at the start: sharp enough that neighbouring codes differ by several nats.
_TOP_LOGIT = 60.0


@torch.no_grad()
def start_on_lattice(model: MemoryAutoencoder, seed: int) -> None:
    """Set fresh weights so that latents regenerate every token before any training.

    Args:
        model: Freshly made, float32.
        seed: Which token gets which lattice point.
    """
    config = model.config
    codes = _lattice(config.vocab_size, config.slot_dims, seed)  # (V, s)
    features = model.lift(codes[None])[0]  # (V, F)
    width = features.shape[1]
    if width + 1 >= config.hidden_size:
        raise ValueError(
            f"slot_dims={config.slot_dims!r} with lift_octaves={config.lift_octaves!r} needs "
            f"{width} features, but hidden_size={config.hidden_size!r}"
        )
    rows = model.embedding.weight
    # The other dims are small and free to be learned. All rows have one norm, so that the
    # normalised embedding is linear in the features and the slot map can be exact.
    rows[:, width + 1 :] = _OTHER_NORM * F.normalize(rows[:, width + 1 :], dim=1)
    rows[:, :width] = features
    rows[:, width] = (config.slot_dims - codes.square().sum(1)).sqrt()
    for block in (*model.encoder, *model.decoder):
        block.attention.out.weight.zero_()
        block.down.weight.zero_()

    # The slot map reads the code back: a row's first dims, scaled as the encoder scales a row.
    # In closed form, because LAPACK's least squares differ in the last bit from call to call.
    norm = math.sqrt(config.slot_dims * (1 + config.lift_octaves) + _OTHER_NORM**2)
    model.to_slot.weight.zero_()
    model.to_slot.weight.fill_diagonal_(norm / math.sqrt(config.hidden_size))

    model.from_slot.weight.zero_()
    model.from_slot.weight[:width] = torch.eye(width)
    hidden = F.rms_norm(model.from_slot(features), (config.hidden_size,))
    model.decoder_norm.weight.fill_(_TOP_LOGIT / float((hidden * rows).sum(-1).mean()))


def _lattice(count: int, dims: int, seed: int) -> torch.Tensor:
    """``count`` points of a regular lattice in (-1, 1)^dims, int8-exact, in seeded order."""
    side = math.ceil(count ** (1 / dims))
    if side > 2 * LEVELS * _REACH + 1:
        # Fewer dims than distinct codes need: tokens share codes, and context must tell.
        side = int(2 * LEVELS * _REACH + 1)
    axis = np.round(np.linspace(-_REACH, _REACH, side) * LEVELS) / LEVELS
    order = np.random.default_rng(seed).permutation(max(count, side**dims)) % side**dims
    digits = np.stack([order[:count] // side**d % side for d in range(dims)], axis=1)
    return torch.from_numpy(axis[digits]).float()
