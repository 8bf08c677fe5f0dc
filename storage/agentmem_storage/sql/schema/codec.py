"""Checksummed BLOBs of embeddings, latents and patches.

The blob of an embedding is a 10-byte header and its int8 components::

    byte 0     0xA1: the magic 0xA in the high half, format version 1 in the low half
    byte 1     dtype in the high half (1 is int8), number of axes in the low half
    bytes 2-5  shape, two little-endian uint16 (the second is 1 for one axis)
    bytes 6-9  CRC-32 of the six bytes before it and of the payload, little-endian

Latents are packed by the model; their blob is the number of memory vectors (a little-endian
uint16), a CRC-32 of that number and the packed bytes, and the packed bytes. The blob of a patch is
a CRC-32 and the patch; an empty patch is stored as NULL.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.errors import CorruptRecordError, InputError
from agentmem_storage.levels import from_levels, to_levels

_MARK = 0xA1
_INT8 = 0x10
_SHAPED = struct.Struct("<BBHH")
_SUM = struct.Struct("<I")
_COUNT = struct.Struct("<H")
COUNT_BYTES = _COUNT.size
HEADER_BYTES = _SHAPED.size + _SUM.size
_MAX_AXIS = 0xFFFF
# Wide enough for embeddings that were computed in half precision.
_NORM_TOLERANCE = 1e-2


def encode_latents(latents: bytes, positions: int) -> bytes:
    """Add the number of memory vectors and a checksum to packed latents.

    Args:
        latents: Latents as packed by the model, not empty.
        positions: M, from 1 to 65,535.

    Raises:
        InputError: They are empty, or M is out of range.
    """
    if not latents or not 0 < positions <= _MAX_AXIS:
        raise InputError(
            f"latents must have at least 1 byte and 1 to {_MAX_AXIS} vectors, got {len(latents)} "
            f"bytes and {positions!r} vectors"
        )
    head = _COUNT.pack(positions)
    return b"".join((head, _SUM.pack(crc32(latents, crc32(head))), latents))


def decode_latents(blob: bytes, chunk_id: int) -> tuple[bytes, int]:
    """The inverse of `encode_latents`: packed latents and M.

    Raises:
        CorruptRecordError: The checksum does not match.
    """
    head, latents = blob[: _COUNT.size], blob[_COUNT.size + _SUM.size :]
    if not latents or _SUM.unpack_from(blob, _COUNT.size)[0] != crc32(latents, crc32(head)):
        raise _corrupt(chunk_id, "latents")
    return latents, _COUNT.unpack(head)[0]


def latents_positions(head: bytes) -> int:
    """M, from the first `COUNT_BYTES` of a blob of latents; 0 if it is shorter, or no blob."""
    whole = isinstance(head, bytes) and len(head) == COUNT_BYTES
    return int(_COUNT.unpack(head)[0]) if whole else 0


def encode_embedding(embedding: NDArray[np.float32]) -> bytes:
    """Quantize an embedding to int8, its largest component to ±127; the norm is implied.

    Args:
        embedding: float32 array of shape (K,), unit norm.

    Raises:
        InputError: The array is not such an embedding.
    """
    if embedding.ndim != 1 or not np.issubdtype(embedding.dtype, np.floating):
        raise InputError(f"an embedding must be float32 of shape (K,), not {_kind(embedding)}")
    wide = embedding.astype(np.float64)
    norm = float(np.sqrt((wide * wide).sum()))
    if not abs(norm - 1.0) <= _NORM_TOLERANCE:
        raise InputError(f"an embedding must have norm 1, got {norm!r}")
    return _pack(embedding.shape, to_levels(wide[None, :]).tobytes())


def decode_embedding(blob: bytes, chunk_id: int) -> NDArray[np.float32]:
    """Restore an embedding: float32 of shape (K,), unit norm, identical on every machine.

    Raises:
        CorruptRecordError: The checksum does not match.
    """
    return decode_embeddings([blob], [chunk_id]).reshape(-1)


def decode_embeddings(blobs: Sequence[bytes], chunk_ids: Sequence[int]) -> NDArray[np.float32]:
    """Restore n embeddings of one store at once, shape (n, K).

    Raises:
        CorruptRecordError: A checksum does not match; names the first.
    """
    payloads = [
        _unpack(blob, 1, chunk_id, "embedding")[1]
        for blob, chunk_id in zip(blobs, chunk_ids, strict=True)
    ]
    levels = np.frombuffer(b"".join(payloads), dtype=np.int8).reshape(len(payloads), -1)
    return from_levels(levels)


def encode_patch(patch: bytes) -> bytes | None:
    """Add a checksum to a patch; None for an empty one."""
    return _SUM.pack(crc32(patch)) + patch if patch else None


def decode_patch(blob: bytes | None, chunk_id: int) -> bytes:
    """The inverse of `encode_patch`.

    Raises:
        CorruptRecordError: The checksum does not match.
    """
    if blob is None:
        return b""
    patch = blob[_SUM.size :]
    if len(blob) <= _SUM.size or _SUM.unpack_from(blob)[0] != crc32(patch):
        raise _corrupt(chunk_id, "patch")
    return patch


def _pack(shape: tuple[int, ...], payload: bytes) -> bytes:
    if max(shape) > _MAX_AXIS:
        raise InputError(f"shape {shape} has an axis longer than {_MAX_AXIS}")
    columns = shape[1] if len(shape) == 2 else 1
    head = _SHAPED.pack(_MARK, _INT8 | len(shape), shape[0], columns)
    return b"".join((head, _SUM.pack(crc32(payload, crc32(head))), payload))


def _unpack(blob: bytes, axes: int, chunk_id: int, what: str) -> tuple[tuple[int, int], bytes]:
    if len(blob) <= HEADER_BYTES:
        raise _corrupt(chunk_id, what)
    payload = blob[HEADER_BYTES:]
    mark, kind, rows, columns = _SHAPED.unpack_from(blob)
    (checksum,) = _SUM.unpack_from(blob, _SHAPED.size)
    intact = checksum == crc32(payload, crc32(blob[: _SHAPED.size]))
    if not intact or mark != _MARK or kind != _INT8 | axes or len(payload) > rows * columns:
        raise _corrupt(chunk_id, what)
    return (rows, columns), payload


def _corrupt(chunk_id: int, what: str) -> CorruptRecordError:
    return CorruptRecordError(
        f"the {what} of memory {chunk_id} failed the checksum: the row is damaged; "
        f"restore it from a backup or forget it",
        id=chunk_id,
    )


def _kind(array: NDArray[np.generic]) -> str:
    return f"{array.dtype} of shape {array.shape}"
