"""The cache file that persists a vector index between processes.

It contains vectors, not a backend's own structures, so that every backend can read it.
All numbers are little-endian:

    magic           8 bytes
    header length   uint32, bytes
    header digest   32 bytes, SHA-256 of the header
    header          JSON: `CacheHeader`, count n, SHA-256 of the payload in hex
    payload         ids, int64 (n,), ascending, then vectors, float32 (n, K)

The file is only a cache: if anything is wrong with it, `load_cache` returns None.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import struct
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.disk import FILE_MODE, sync
from agentmem_storage.index.base import VectorIndex
from agentmem_storage.index.factory import IndexKind, make_index

_MAGIC = b"AGMKEYS\x01"  # The last byte is the version of the format.
_LENGTH = struct.Struct("<I")
_DIGEST_BYTES = hashlib.sha256().digest_size
_ID = np.dtype("<i8")
_VECTOR = np.dtype("<f4")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheHeader:
    """Which vectors a cache file contains, and how recent they are.

    Attributes:
        store_id: Id of the store they come from.
        model: Fingerprint of the bundle that made them.
        change: Number of the last change that they include.
        dims: K, the dims of a vector.
    """

    store_id: str
    model: str
    change: int
    dims: int


class _BadCacheError(Exception):
    """The reason why a cache file is not used."""


def save_cache(path: str | os.PathLike[str], index: VectorIndex, header: CacheHeader) -> None:
    """Write an index to a file atomically.

    Temporary files left by killed processes are deleted, because they may contain vectors that
    have been forgotten since.

    Args:
        path: The file; its folder must exist.
        index: The index to write.
        header: Where its vectors come from.

    Raises:
        OSError: The file cannot be written; an existing one is unchanged.
        ValueError: The dims of header and index differ.
    """
    path = Path(path)
    if header.dims != index.dims:
        raise ValueError(f"header says {header.dims!r} dims, the index has {index.dims!r}")
    ids = index.ids()
    payload = (
        _raw(ids.astype(_ID, copy=False)),
        _raw(index.vectors(ids).astype(_VECTOR, copy=False)),
    )
    digest = hashlib.sha256()
    for part in payload:
        digest.update(part)
    fields = {**asdict(header), "count": ids.size, "sha256": digest.hexdigest()}
    head = json.dumps(fields, sort_keys=True).encode()

    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            Path(name).chmod(FILE_MODE)  # the umask may have taken more away
            file.write(_MAGIC + _LENGTH.pack(len(head)) + hashlib.sha256(head).digest() + head)
            for part in payload:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except FileNotFoundError:
        if path.exists():  # Another process saved at the same time and deleted this temporary file.
            _log.info("index cache %s: another process has just written it", path)
            return
        raise
    finally:
        Path(name).unlink(missing_ok=True)
    sweep(path)
    sync(path.parent)


def load_cache(
    path: str | os.PathLike[str],
    *,
    store_id: str,
    model: str,
    dims: int,
    kind: IndexKind = "auto",
) -> tuple[VectorIndex, int] | None:
    """Read an index back.

    Args:
        path: The file.
        store_id: Id of the expected store.
        model: Fingerprint of the expected bundle.
        dims: The expected K.
        kind: The backend to load the vectors into, as in `make_index`.

    Returns:
        The index and the number of the last change it includes. None, with a log message, if the
        file is missing, unreadable, damaged, of another format or of another store.

    Raises:
        MissingExtraError: ``kind`` is ``faiss``, which is not installed.
    """
    index = make_index(dims, kind)
    expected = {"store_id": store_id, "model": model, "dims": dims}
    try:
        change = _fill(index, _read(path), expected)
    except FileNotFoundError:
        _log.info("index cache %s: not there", path)
    except (OSError, MemoryError, ValueError, KeyError, TypeError, _BadCacheError) as error:
        _log.info("index cache %s: not used, %s", path, error)
    else:
        return index, change
    return None


def _fill(index: VectorIndex, data: bytes, expected: dict[str, Any]) -> int:
    """Load the vectors of a cache file into an empty index; return its change number."""
    view = memoryview(data)
    digest_at = len(_MAGIC) + _LENGTH.size
    head_at = digest_at + _DIGEST_BYTES
    if view[: len(_MAGIC)] != _MAGIC:
        raise _BadCacheError("it has another format")
    if len(view) < head_at:
        raise _BadCacheError("it is truncated")
    (head_bytes,) = _LENGTH.unpack_from(view, len(_MAGIC))
    ids_at = head_at + head_bytes
    head = view[head_at:ids_at]
    if hashlib.sha256(head).digest() != view[digest_at:head_at]:
        raise _BadCacheError("its header is damaged")
    fields = json.loads(bytes(head))
    for name, value in expected.items():
        if fields[name] != value:
            raise _BadCacheError(f"its {name} is {fields[name]!r}, not {value!r}")
    count, dims = fields["count"], index.dims
    vectors_at = ids_at + count * _ID.itemsize
    if len(view) != vectors_at + count * dims * _VECTOR.itemsize:
        raise _BadCacheError("its length is wrong")
    if hashlib.sha256(view[ids_at:]).hexdigest() != fields["sha256"]:
        raise _BadCacheError("its vectors are damaged")
    ids = np.frombuffer(view[ids_at:vectors_at], dtype=_ID).astype(np.int64)
    vectors = np.frombuffer(view[vectors_at:], dtype=_VECTOR).astype(np.float32)
    index.add(ids, vectors.reshape(count, dims))
    return int(fields["change"])


def _read(path: str | os.PathLike[str]) -> bytes:
    """The content of a file; a symbolic link is an error, where the platform can tell."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    with open(descriptor, "rb") as file:
        return file.read()


def _raw(array: NDArray[Any]) -> memoryview:
    """The bytes of a contiguous array, without a copy."""
    return array.reshape(-1).view(np.uint8).data


def strays(path: Path) -> list[Path]:
    """Temporary files of earlier writers of a cache file, which were killed or still write."""
    return [
        one
        for one in path.parent.iterdir()
        if one.name.startswith(f"{path.name}.") and one.suffix == ".tmp"
    ]


def sweep(path: Path) -> None:
    """Delete temporary files of earlier writers of a cache file."""
    for stray in strays(path):
        stray.unlink(missing_ok=True)
