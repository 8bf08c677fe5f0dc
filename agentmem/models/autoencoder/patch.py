"""Patches: corrections that turn decoded tokens into the chunk's own, exactly.

Layout of a patch (empty if nothing has to be corrected):

====  =======================================================================
0     no further bytes: the latents alone are exact (the patch is ``b""``)
1     sparse: pairs of varints (distance from the previous correction, token id)
2     raw: every token id, packed with ``bits`` bits each; bounds the worst case
====  =======================================================================
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_SPARSE, _RAW = 1, 2


def make_patch(
    target: NDArray[np.int64], guess: NDArray[np.int64], is_sure: NDArray[np.bool_], *, bits: int
) -> bytes:
    """The smallest patch that turns ``guess`` into ``target``.

    Args:
        target: Token ids of the chunk, shape (T,).
        guess: Token ids that the latents regenerate, shape (T,).
        is_sure: Where the decoder's prediction wins by a margin, shape (T,). A close call may flip
            on another machine, so it is recorded even if it is right on this one.
        bits: Bits of a token id.
    """
    positions = np.flatnonzero((target != guess) | ~is_sure)
    if not len(positions):
        return b""
    sparse = bytearray([_SPARSE])
    for gap, token in zip(np.diff(positions, prepend=-1) - 1, target[positions], strict=True):
        _put_varint(sparse, int(gap))
        _put_varint(sparse, int(token))
    if len(sparse) <= 1 + (len(target) * bits + 7) // 8:
        return bytes(sparse)
    shifts = np.arange(bits, dtype=np.int64)
    return bytes([_RAW]) + np.packbits((target[:, None] >> shifts) & 1).tobytes()


def apply_patch(guess: NDArray[np.int64], patch: bytes, *, bits: int) -> NDArray[np.int64]:
    """The chunk's token ids, shape (T,), from the regenerated ones and the patch.

    Raises:
        ValueError: the patch is not one that `make_patch` made for T tokens.
    """
    if not patch:
        return guess
    if patch[0] == _RAW:
        size = len(guess) * bits
        if len(patch) - 1 != (size + 7) // 8:
            raise ValueError(f"a raw patch of {len(patch)} bytes does not hold {len(guess)} tokens")
        flat = np.unpackbits(np.frombuffer(patch, np.uint8, offset=1), count=size)
        return flat.reshape(-1, bits).astype(np.int64) @ (1 << np.arange(bits, dtype=np.int64))
    if patch[0] != _SPARSE:
        raise ValueError(f"a patch of unknown kind {patch[0]!r}")
    ids, position = guess.copy(), -1
    numbers = _varints(patch[1:])
    for gap in numbers:
        position += gap + 1
        token = next(numbers, None)
        if token is None or token >> bits or position >= len(ids):
            raise ValueError(f"a sparse patch does not fit {len(ids)} tokens of {bits} bits")
        ids[position] = token
    return ids


def _put_varint(out: bytearray, number: int) -> None:
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _varints(data: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            yield number
            number = shift = 0
    if shift:
        raise ValueError("a sparse patch ends inside a number")
