"""Memories' states as bytes: int8, about a quarter of what they take in float32.

Keys have a scale for each channel of each head, because a few channels are much larger than the
others, whatever the token; values have a scale for each token of each head (KIVI, arXiv
2402.02750). Channels are steady only before keys are rotated. Scales are float16, symmetric.
All numbers are little-endian::

    runs, tokens N          uint16, uint32
    each run                uint16 x 4: layers L, heads G, dims of keys D, dims of values E
    each run                float16: scales of keys (L, G, D), then of values (L, G, N)
    each run                int8: keys (L, G, N, D), then values (L, G, N, E)

A run is a number of layers whose states have the same shape, as nearly all models' have.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import groupby

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
    tokens = len(states)
    shapes: list[bytes] = []
    scales: list[bytes] = []
    numbers: list[bytes] = []
    for keys, values in runs:
        layers, heads, _, dims = keys.shape
        shapes.append(_RUN.pack(layers, heads, dims, values.shape[-1]))
        for part, axis in ((keys, 2), (values, 3)):
            rounded, scale = _rounded(part, axis)
            scales.append(scale.astype(_SCALE).tobytes())
            numbers.append(rounded.tobytes())
    return b"".join([_HEAD.pack(len(runs), tokens), *shapes, *scales, *numbers])


def unpack_states(packed: bytes) -> MemoryStates:
    """The inverse of `pack_states`, in float32 on the CPU."""
    runs, tokens = _HEAD.unpack_from(packed)
    shapes = [_RUN.unpack_from(packed, _HEAD.size + n * _RUN.size) for n in range(runs)]
    at = _HEAD.size + runs * _RUN.size
    scales: list[tuple[Scales, Scales]] = []
    for layers, heads, dims, _ in shapes:
        of_keys = np.frombuffer(packed, _SCALE, layers * heads * dims, at)
        at += of_keys.nbytes
        of_values = np.frombuffer(packed, _SCALE, layers * heads * tokens, at)
        at += of_values.nbytes
        scales.append(
            (
                of_keys.reshape(layers, heads, 1, dims),
                of_values.reshape(layers, heads, tokens, 1),
            )
        )
    keys: list[Tensor] = []
    values: list[Tensor] = []
    for (layers, heads, dims, width), (of_keys, of_values) in zip(shapes, scales, strict=True):
        for found, size, scale in ((keys, dims, of_keys), (values, width, of_values)):
            rounded = np.frombuffer(packed, _INT8, layers * heads * tokens * size, at)
            at += rounded.nbytes
            rounded = rounded.reshape(layers, heads, tokens, size)
            exact = np.multiply(rounded, scale.astype(np.float32), dtype=np.float32)
            found += torch.from_numpy(exact).unbind()
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


def _rounded(numbers: Floats, axis: int) -> tuple[Ints, Scales]:
    """Numbers as multiples of a scale for each row along an axis; that of zeros is zero."""
    scale = (np.abs(numbers).max(axis, keepdims=True) / _MOST).astype(np.float16)
    step = np.where(scale > 0, scale, 1).astype(np.float32)
    rounded = np.clip(np.rint(numbers / step), -_MOST, _MOST).astype(np.int8)
    return rounded, scale
