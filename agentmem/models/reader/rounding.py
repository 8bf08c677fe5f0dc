"""Adapters in int8: half the size of bfloat16, and answers as before.

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
    """Round matrices to int8.

    Args:
        weights: Matrices by name: float (rank, in) if it ends with ``.down``, else (out, rank).

    Returns:
        The rounded matrices, on the CPU, and the float32 scales of each under its name with
        ``.scale`` after it: (rank, 1) or (1, rank).
    """
    rounded: dict[str, Tensor] = {}
    for name, weight in weights.items():
        exact = weight.detach().float().cpu()
        axis = 1 if name.endswith(".down") else 0
        scale = _short(exact.abs().amax(axis, keepdim=True) / _MOST)
        steps = exact / torch.where(scale > 0, scale, 1.0)
        rounded[name] = steps.round().clamp(-_MOST, _MOST).to(torch.int8).contiguous()
        rounded[name + _SCALE] = scale.contiguous()
    return rounded


def restore_adapters(rounded: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `round_adapters`, in float32.

    Raises:
        KeyError: a matrix has no scales.
    """
    return {
        name: weight.float() * rounded[name + _SCALE]
        for name, weight in rounded.items()
        if not name.endswith(_SCALE)
    }


def _short(scales: Tensor) -> Tensor:
    mantissa, exponent = torch.frexp(scales)
    return torch.ldexp((mantissa * 2**_BITS).round() / 2**_BITS, exponent)
