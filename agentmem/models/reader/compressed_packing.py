"""Compressed memories as bytes: int8, with a scale for each key and each value.

Each head keeps other tokens, so a channel of its keys has too few numbers for a scale of its own.
All numbers are little-endian::

    layers, tokens N        uint16, uint32
    each layer              uint16 x 3: heads G, dims of keys D, dims of values E
    each layer              uint32: how many states each head keeps (G,)
    each layer              uint16, or uint32 if N does not fit: the tokens that they are of, head
                            by head; float16: their scores, scales of keys, then of values; int8:
                            keys, values
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentmem.models.reader.compressed import ABSENT, CompressedStates
from agentmem.models.reader.packing import round_to_int8
from agentmem.models.reader.selection import NOT_KEPT

COMPRESSED_PACKING = "int8-heads-2"
"""The name of this format; another one is not read."""

_HEAD = struct.Struct("<HI")
_LAYER = struct.Struct("<HHH")
_INT8, _SCALE, _COUNT = np.dtype("i1"), np.dtype("<f2"), np.dtype("<u4")


def pack_compressed(states: CompressedStates) -> bytes:
    """Round compressed states of a memory to int8."""
    shapes: list[bytes] = []
    counts: list[bytes] = []
    content: list[bytes] = []
    layers = zip(states.indices, states.keys, states.values, states.scores, strict=True)
    for indices, keys, values, scores in layers:
        there = indices != ABSENT
        shapes.append(_LAYER.pack(len(indices), keys.shape[-1], values.shape[-1]))
        counts.append(there.sum(1).cpu().numpy().astype(_COUNT).tobytes())
        content.append(indices[there].cpu().numpy().astype(_index_type(states.tokens)).tobytes())
        numbers = [round_to_int8(kept[there].float().cpu().numpy(), 1) for kept in (keys, values)]
        content.append(scores[there].float().cpu().numpy().astype(_SCALE).tobytes())
        content += [scales.tobytes() for _, scales in numbers]
        content += [ints.tobytes() for ints, _ in numbers]
    return b"".join([_HEAD.pack(len(shapes), states.tokens), *shapes, *counts, *content])


def unpack_compressed(packed: bytes) -> CompressedStates:
    """The inverse of `pack_compressed`, in float32 on the CPU."""
    layers, tokens = _HEAD.unpack_from(packed)
    shapes = [_LAYER.unpack_from(packed, _HEAD.size + n * _LAYER.size) for n in range(layers)]
    at = _HEAD.size + layers * _LAYER.size

    def take(dtype: np.dtype[Any], *shape: int) -> NDArray[Any]:
        nonlocal at
        taken = np.frombuffer(packed, dtype, math.prod(shape), at).reshape(shape)
        at += taken.nbytes
        return taken

    counts = [torch.from_numpy(take(_COUNT, heads).astype(np.int64)) for heads, _, _ in shapes]
    indices: list[Tensor] = []
    keys: list[Tensor] = []
    values: list[Tensor] = []
    scores: list[Tensor] = []
    for (heads, dims, width), count in zip(shapes, counts, strict=True):
        total, most = int(count.sum()), int(count.max())
        there = torch.arange(most) < count[:, None]
        of = take(_index_type(tokens), total).astype(np.int64)
        attention = torch.from_numpy(take(_SCALE, total).astype(np.float32))
        scales = [take(_SCALE, total, 1).astype(np.float32) for _ in range(2)]
        numbers = [take(_INT8, total, size).astype(np.float32) for size in (dims, width)]
        own = torch.full((heads, most), ABSENT)
        own[there] = torch.from_numpy(of)
        indices.append(own)
        best = torch.full((heads, most), NOT_KEPT)
        best[there] = attention
        scores.append(best)
        for found, exact, scale in zip((keys, values), numbers, scales, strict=True):
            padded = torch.zeros(heads, most, exact.shape[1])
            padded[there] = torch.from_numpy(exact * scale)
            found.append(padded)
    return CompressedStates(tokens, tuple(indices), tuple(keys), tuple(values), tuple(scores))


def _index_type(tokens: int) -> np.dtype[Any]:
    return np.dtype("<u2" if tokens <= np.iinfo(np.uint16).max + 1 else "<u4")
