"""The cache file that persists a vector index between processes.

It contains vectors as int8 levels, which lose nothing of a store's embeddings, and no structures of
a backend, so that every backend can read it. Of an index with lists, it also has what parts them,
and the list of each vector. All numbers are little-endian:

    magic           8 bytes
    header length   uint32, bytes
    header digest   32 bytes, SHA-256 of the header
    header          JSON: `CacheHeader`, count n, number of lists, SHA-256 of the payload in hex
    payload         ids, int64 (n,), ascending; with lists, the list of each, int32 (n,), and their
                    centroids, float32 (lists, K); levels, int8 (n, K)

The file is only a cache: if anything is wrong with it, `load_cache` returns None.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import math
import os
import stat
import struct
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.disk import FILE_MODE, sync
from agentmem_storage.index.base import Parted, VectorIndex
from agentmem_storage.index.factory import IndexKind, make_index, make_parted
from agentmem_storage.levels import from_levels

_MAGIC = b"AGMKEYS\x03"  # The last byte is the version of the format.
_LENGTH = struct.Struct("<I")
_DIGEST_BYTES = hashlib.sha256().digest_size
_ID, _LEVEL = np.dtype("<i8"), np.dtype("i1")
_FLOAT, _LIST = np.dtype("<f4"), np.dtype("<i4")
# Vectors that are read or written at once.
_ROWS = 16_384

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
    arrays: list[NDArray[Any]] = [ids.astype(_ID, copy=False)]
    lists = 0
    if isinstance(index, Parted):
        lists = len(index.centroids)
        arrays.append(index.lists(ids).astype(_LIST, copy=False))
        arrays.append(index.centroids.astype(_FLOAT, copy=False))
    digest = hashlib.sha256()
    fields = {**asdict(header), "count": ids.size, "lists": lists}

    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            Path(name).chmod(FILE_MODE)  # the umask may have taken more away
            # The digest in the header is that of what follows, so it is written again.
            file.write(_head(fields, digest))
            levels = (index.levels(ids[first : first + _ROWS]) for first in _firsts(ids.size))
            for array in itertools.chain(arrays, levels):
                part = _raw(array)
                digest.update(part)
                file.write(part)
            file.seek(0)
            file.write(_head(fields, digest))
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
    expected = {"store_id": store_id, "model": model, "dims": dims}
    try:
        with _opened(path) as file:
            index, change = _read(file, expected, kind)
    except FileNotFoundError:
        _log.info("index cache %s: not there", path)
    except (OSError, MemoryError, ValueError, KeyError, TypeError, _BadCacheError) as error:
        _log.info("index cache %s: not used, %s", path, error)
    else:
        return index, change
    return None


def _head(fields: dict[str, Any], digest: hashlib._Hash) -> bytes:
    """All that is before the payload."""
    head = json.dumps({**fields, "sha256": digest.hexdigest()}, sort_keys=True).encode()
    return _MAGIC + _LENGTH.pack(len(head)) + hashlib.sha256(head).digest() + head


def _firsts(count: int) -> range:
    """The first row of each part of so many that are read or written at once."""
    return range(0, count, _ROWS)


def _read(file: BinaryIO, expected: dict[str, Any], kind: IndexKind) -> tuple[VectorIndex, int]:
    """The index in a cache file, and its change number."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise _BadCacheError("it has another format")
    (head_bytes,) = _LENGTH.unpack(_exactly(file, _LENGTH.size))
    digest = _exactly(file, _DIGEST_BYTES)
    head = _exactly(file, head_bytes)
    if hashlib.sha256(head).digest() != digest:
        raise _BadCacheError("its header is damaged")
    fields = json.loads(head)
    for name, value in expected.items():
        if fields[name] != value:
            raise _BadCacheError(f"its {name} is {fields[name]!r}, not {value!r}")
    payload = _Payload(file)
    index = _indexed(payload, fields["count"], fields["lists"], fields["dims"], kind)
    if payload.digest.hexdigest() != fields["sha256"]:
        raise _BadCacheError("its vectors are damaged")
    return index, int(fields["change"])


class _Payload:
    """The arrays of a file, one after the other.

    Attributes:
        left: How many bytes have not been read.
        digest: Of those that have.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.left = os.fstat(file.fileno()).st_size - file.tell()
        self.digest = hashlib.sha256()

    def read(self, dtype: np.dtype[Any], *shape: int) -> NDArray[Any]:
        """The next array."""
        size = math.prod(shape) * dtype.itemsize
        if min(shape) < 0 or size > self.left:
            raise _BadCacheError("its length is wrong")
        data = _exactly(self._file, size)
        self.digest.update(data)
        self.left -= size
        return np.frombuffer(data, dtype=dtype).reshape(shape)


def _indexed(payload: _Payload, count: int, lists: int, dims: int, kind: IndexKind) -> VectorIndex:
    """Read an index, a part of its vectors at a time: a large one is in memory only once."""
    ids = payload.read(_ID, count).astype(np.int64)
    # Whoever wrote the digests may have written anything else, too.
    if bool(np.any(ids[1:] <= ids[:-1])) or bool(np.any(ids < 0)):
        raise _BadCacheError("its ids do not ascend")
    parted = None
    if lists:
        own = payload.read(_LIST, count).astype(np.int32)
        if own.size and not 0 <= int(own.min()) <= int(own.max()) < lists:
            raise _BadCacheError("it names lists that it does not have")
        centroids = payload.read(_FLOAT, lists, dims).astype(np.float32)
        if not np.isfinite(centroids).all():
            raise _BadCacheError("what parts its lists is not finite")
        if kind == "auto":
            parted = make_parted(centroids, own)
    if payload.left != count * dims:
        raise _BadCacheError("its length is wrong")
    index: VectorIndex = make_index(dims, kind, count) if parted is None else parted
    for first in _firsts(count):
        part = slice(first, first + _ROWS)
        levels = payload.read(_LEVEL, ids[part].size, dims)
        # Several at a time, which takes a fraction of the time.
        if not levels.view(f"u{math.gcd(dims, 8)}").any(axis=1).all():
            raise _BadCacheError("one of its vectors is zero")
        if parted is None:
            index.add(ids[part], from_levels(levels))
        else:
            parted.add_levels(ids[part], levels, own[part])
    return index


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise _BadCacheError("it is truncated")
    return data


def _opened(path: str | os.PathLike[str]) -> BinaryIO:
    """A file to read; links, pipes and devices are errors, where the platform can tell."""
    # Without waiting: opening a pipe would wait for somebody who writes to it.
    plain = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    file = open(os.open(path, os.O_RDONLY | plain), "rb")  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise _BadCacheError("it is no file")
    return file


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
