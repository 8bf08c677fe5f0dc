"""Memories' states as bytes: int8, about a quarter of what they take in float32.

Keys have an offset and a scale for each channel of each head, because a few channels are larger
than the others and far from zero, whatever the token; values have a scale for each token of each
head (KIVI, arXiv 2402.02750). Channels are steady only before keys are rotated. All numbers are
little-endian::

    runs, tokens N          uint16, uint32
    each run                uint16 x 4: layers L, heads G, dims of keys D, dims of values E
    each run                float16: offsets of keys (L, G, D), their scales (L, G, D), and scales
                            of values (L, G, N)
    each run                int8: keys (L, G, N, D), then values (L, G, N, E)

A run is a number of layers whose states have the same shape, as nearly all models' have.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentmem.models.reader.states import MemoryStates

PACKING = "int8-1"
"""The name of this format; another one is not read."""

_HEAD = struct.Struct("<HI")
_RUN = struct.Struct("<HHHH")
_MOST = 127
_INT8, _SCALE = np.dtype("i1"), np.dtype("<f2")

Ints = NDArray[np.int8]
Scales = NDArray[np.float16]
Floats = NDArray[np.float32]


def pack_states(states: MemoryStates) -> bytes:
    """Round the states of a memory to int8."""
    runs = _runs(states)
    shapes: list[bytes] = []
    scales: list[bytes] = []
    numbers: list[bytes] = []
    for keys, values in runs:
        layers, heads, _, dims = keys.shape
        shapes.append(_RUN.pack(layers, heads, dims, values.shape[-1]))
        offsets = ((keys.max(2, keepdims=True) + keys.min(2, keepdims=True)) / 2).astype(_SCALE)
        moved = keys - offsets.astype(np.float32)
        ints, of_keys = round_to_int8(moved, 2)
        more, of_values = round_to_int8(values, 3)
        scales += [offsets.tobytes(), of_keys.tobytes(), of_values.tobytes()]
        numbers += [ints.tobytes(), more.tobytes()]
    return b"".join([_HEAD.pack(len(runs), len(states)), *shapes, *scales, *numbers])


def unpack_states(packed: bytes) -> MemoryStates:
    """The inverse of `pack_states`, in float32 on the CPU."""
    runs, tokens = _HEAD.unpack_from(packed)
    shapes = [_RUN.unpack_from(packed, _HEAD.size + n * _RUN.size) for n in range(runs)]
    at = _HEAD.size + runs * _RUN.size

    def take(dtype: np.dtype[Any], *shape: int) -> NDArray[Any]:
        nonlocal at
        taken = np.frombuffer(packed, dtype, math.prod(shape), at).reshape(shape)
        at += taken.nbytes
        return taken

    scales = [
        (
            take(_SCALE, layers, heads, 1, dims).astype(np.float32),
            take(_SCALE, layers, heads, 1, dims).astype(np.float32),
            take(_SCALE, layers, heads, tokens, 1).astype(np.float32),
        )
        for layers, heads, dims, _ in shapes
    ]
    keys: list[Tensor] = []
    values: list[Tensor] = []
    for (layers, heads, dims, width), (offsets, of_keys, of_values) in zip(
        shapes, scales, strict=True
    ):
        exact = np.multiply(take(_INT8, layers, heads, tokens, dims), of_keys, dtype=np.float32)
        exact += offsets
        keys += torch.from_numpy(exact).unbind()
        exact = np.multiply(take(_INT8, layers, heads, tokens, width), of_values, dtype=np.float32)
        values += torch.from_numpy(exact).unbind()
    return MemoryStates(tuple(keys), tuple(values))


def _runs(states: MemoryStates) -> list[tuple[Floats, Floats]]:
    """Keys (L, G, N, D) and values (L, G, N, E) of layers in a row that have the same shape."""
    layers = zip(states.keys, states.values, strict=True)
    return [
        (_stacked([keys for keys, _ in run]), _stacked([values for _, values in run]))
        for run in (
            list(group) for _, group in groupby(layers, lambda pair: (pair[0].shape, pair[1].shape))
        )
    ]


def _stacked(layers: Sequence[Tensor]) -> Floats:
    stacked: Floats = torch.stack(list(layers)).float().cpu().numpy()
    return stacked


def round_to_int8(numbers: Floats, axis: int) -> tuple[Ints, Scales]:
    """Numbers as multiples of a scale for each row along an axis; that of zeros is zero."""
    scale = (np.abs(numbers).max(axis, keepdims=True) / _MOST).astype(_SCALE)
    step = np.where(scale > 0, scale, 1).astype(np.float32)
    return np.clip(np.rint(numbers / step), -_MOST, _MOST).astype(np.int8), scale
