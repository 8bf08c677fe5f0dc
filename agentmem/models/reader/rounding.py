"""Adapters in int8: half the size of bfloat16, and the same answers.

A low-rank update is a sum of as many outer products as its rank. Each of their vectors, a row of
the matrix that leads down and a column of the one that leads up, has a scale of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_MOST = 127
_SCALE = ".scale"
# Bits of a scale's mantissa. 127 times a scale is then exact in float32, so that weights which are
# multiples of it already are not changed by being rounded again.
_BITS = 11


def round_adapters(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Round matrices to int8, and vectors to bfloat16.

    Args:
        weights: Tensors by name; ``down`` or ``up`` is a part of a matrix's name.

    Returns:
        The rounded tensors, on the CPU, and the float32 scales of each matrix under its name with
        ``.scale`` after it: (rank, 1) or (1, rank).
    """
    rounded: dict[str, Tensor] = {}
    for name, weight in weights.items():
        exact = weight.detach().float().cpu()
        if exact.dim() != 2:
            rounded[name] = exact.to(torch.bfloat16).contiguous()
            continue
        scale = _short(exact.abs().amax(0 if ".up." in name else 1, keepdim=True) / _MOST)
        steps = exact / torch.where(scale > 0, scale, 1.0)
        rounded[name] = steps.round().clamp(-_MOST, _MOST).to(torch.int8).contiguous()
        rounded[name + _SCALE] = scale.contiguous()
    return rounded


def restore_adapters(rounded: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `round_adapters`; tensors without a scale stay as they are."""
    return {
        name: weight.float() * rounded[name + _SCALE] if name + _SCALE in rounded else weight
        for name, weight in rounded.items()
        if name.removesuffix(_SCALE) == name or name.removesuffix(_SCALE) not in rounded
    }


def _short(scales: Tensor) -> Tensor:
    mantissa, exponent = torch.frexp(scales)
    return torch.ldexp((mantissa * 2**_BITS).round() / 2**_BITS, exponent)
