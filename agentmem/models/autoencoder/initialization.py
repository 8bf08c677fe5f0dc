"""Initialization: every token starts on a grid of codes that the decoder can already separate.

From random weights, an autoencoder with two or four numbers per token spends most of its training
on giving thousands of rare tokens codes of their own, and uniformly random ids are the last thing
it learns. Here every token starts with a code of its own on a regular grid, the token embedding
starts with the Fourier features of that code, and the blocks start as identities. The features of a
code then meet the rows of the tied head as a kernel, ``sum over octaves cos(pi 2^k (z - c))``,
which peaks at the right token. Training starts from "every token regenerated" and learns what
context can add: room for coarser codes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from agentmem.models.autoencoder.configuration import LEVELS, AutoencoderConfig
from agentmem.models.autoencoder.modeling import MemoryAutoencoder

# Codes keep this distance from the ends of (-1, 1), where the bounding function saturates.
_REACH = 0.98
# Norm of the part of an embedding that does not encode its code.
_OTHER_NORM = 1.0
# Largest logit at the start: sharp enough that neighboring codes differ by several nats.
_TOP_LOGIT = 60.0


@torch.no_grad()
def init_on_grid(
    model: MemoryAutoencoder, seed: int, *, by_frequency: Sequence[int] | None = None
) -> None:
    """Set fresh weights so that latents regenerate every token before any training.

    A coarse quantization cannot separate tokens that share one of its cells. The points of a cell
    are therefore given to tokens of very different frequency, which context separates best.

    Args:
        model: Freshly initialized, float32.
        seed: Decides which token gets which grid point.
        by_frequency: Every token id, the most frequent first; None: ids are in that order.
    """
    config = model.config
    ranked = list(range(config.vocab_size)) if by_frequency is None else list(by_frequency)
    codes = torch.empty(config.vocab_size, config.slot_dims)  # (V, s)
    widest = max(config.quantizations.values())
    codes[ranked] = _grid_points(config.vocab_size, config.slot_dims, widest, seed)
    features = model.fourier_features(codes[None])[0]  # (V, F)
    width = features.shape[1]
    if width + 1 >= config.hidden_size:
        raise ValueError(
            f"slot_dims={config.slot_dims!r} with fourier_octaves={config.fourier_octaves!r} needs "
            f"{width} Fourier features, but hidden_size={config.hidden_size!r}"
        )
    rows = model.embedding.weight
    # The other dims are small and free to be learned. All rows have the same norm, so that the
    # normalized embedding is linear in the features and the projection to slots can be exact.
    rows[:, width + 1 :] = _OTHER_NORM * F.normalize(rows[:, width + 1 :], dim=1)
    rows[:, :width] = features
    rows[:, width] = (config.slot_dims - codes.square().sum(1)).sqrt()
    for block in (*model.encoder, *model.decoder):
        block.attention.out.weight.zero_()
        block.down.weight.zero_()

    # The projection to slots recovers the code: a row's first dims, scaled as the encoder scales a
    # row. In closed form, because LAPACK's least squares differ in the last bit from call to call.
    norm = math.sqrt(config.slot_dims * (1 + config.fourier_octaves) + _OTHER_NORM**2)
    for name, step in config.quantizations.items():
        to_slot = cast("nn.Linear", model.to_slot[name])
        to_slot.weight.zero_()
        to_slot.weight.fill_diagonal_(norm / math.sqrt(config.hidden_size))
        from_slot = cast("nn.Linear", model.from_slot[name])
        from_slot.weight.zero_()
        from_slot.weight[:width] = torch.diag(_resolvable(config, step))

    finest = next(iter(config.quantizations))
    hidden = F.rms_norm(model.from_slot[finest](features), (config.hidden_size,))
    model.decoder_norm.weight.fill_(_TOP_LOGIT / float((hidden * rows).sum(-1).mean()))


def _resolvable(config: AutoencoderConfig, step: float) -> torch.Tensor:
    """1 for the Fourier features (F,) that are informative at a quantization step, 0 for others.

    Octave k has the period ``2 LEVELS / 2^k`` in int8 steps; below two quantization steps it no
    longer separates adjacent cells, it only favors the center of each.
    """
    octaves = torch.arange(config.fourier_octaves)
    clear = ((2 * LEVELS / 2.0**octaves) >= 2 * step - 1).float().repeat(config.slot_dims)
    return torch.cat([torch.ones(config.slot_dims), clear, clear])


def _grid_points(count: int, dims: int, widest: float, seed: int) -> torch.Tensor:
    """``count`` points in (-1, 1)^dims, in seeded order, on the grid of the coarsest quantization.

    If the grid has room, they are the centers of its cells, as far apart as it allows; if not,
    several share a cell, ordered by their distance from its center.
    """
    side = math.ceil(count ** (1 / dims))
    cells = 2 * int(LEVELS * _REACH / widest) + 1
    apart, inner = max(1, cells // side), math.ceil(side / cells)
    centers = (np.arange(cells) - cells // 2)[cells // 2 % apart :: apart] * widest
    offsets = (np.arange(inner) - (inner - 1) / 2) * (widest / inner)
    within = _grid(offsets, dims)
    within = within[np.argsort(np.abs(within).max(1) * dims + np.abs(within).sum(1), kind="stable")]
    rng = np.random.default_rng(seed)
    points = [rng.permutation(_grid(centers, dims)) + offset for offset in within]
    return torch.from_numpy(np.concatenate(points)[:count] / LEVELS).float()


def _grid(axis: NDArray[np.floating[Any]], dims: int) -> NDArray[np.floating[Any]]:
    """All points (n^dims, dims) whose coordinates are on an axis (n,)."""
    return np.stack(np.meshgrid(*[axis] * dims, indexing="ij"), axis=-1).reshape(-1, dims)
