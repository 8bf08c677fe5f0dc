"""The cache file that persists a vector index between processes.

It contains vectors as int8 levels, which lose nothing of a store's embeddings, and no structures of
a backend, so that every backend can read it. Of an index with lists, it also has what parts them,
and the list of each vector. All numbers are little-endian:

    magic           8 bytes
    header length   uint32, bytes
    header digest   32 bytes, SHA-256 of the header
    header          JSON: `CacheHeader`, count n, number of lists, SHA-256 of the payload in hex
    payload         ids, int64 (n,), ascending; levels, int8 (n, K); with lists, also centroids,
                    float32 (lists, K); ranges, float32 (2 * K,); the list of each, int32 (n,)

The file is only a cache: if anything is wrong with it, `load_cache` returns None.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import stat
import struct
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.disk import FILE_MODE, sync
from agentmem_storage.index.base import Parted, Partition, VectorIndex
from agentmem_storage.index.factory import IndexKind, make_index, make_parted
from agentmem_storage.levels import from_levels

_MAGIC = b"AGMKEYS\x02"  # The last byte is the version of the format.
_LENGTH = struct.Struct("<I")
_DIGEST_BYTES = hashlib.sha256().digest_size
_ID, _LEVEL = np.dtype("<i8"), np.dtype("i1")
_FLOAT, _LIST = np.dtype("<f4"), np.dtype("<i4")

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
    arrays: list[NDArray[Any]] = [ids.astype(_ID, copy=False), index.levels(ids)]
    lists = 0
    if isinstance(index, Parted):
        lists = len(index.partition.centroids)
        arrays.append(index.partition.centroids.astype(_FLOAT, copy=False))
        arrays.append(index.partition.ranges.astype(_FLOAT, copy=False))
        arrays.append(index.lists(ids).astype(_LIST, copy=False))
    payload = [_raw(one) for one in arrays]
    digest = hashlib.sha256()
    for part in payload:
        digest.update(part)
    fields = {**asdict(header), "count": ids.size, "lists": lists, "sha256": digest.hexdigest()}
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
    expected = {"store_id": store_id, "model": model, "dims": dims}
    try:
        content, change = _parse(_read(path), expected)
        index = _indexed(content, dims, kind)
    except FileNotFoundError:
        _log.info("index cache %s: not there", path)
    except (OSError, MemoryError, ValueError, KeyError, TypeError, _BadCacheError) as error:
        _log.info("index cache %s: not used, %s", path, error)
    else:
        return index, change
    return None


class _Content(NamedTuple):
    """What a cache file contains, in part as views of its bytes."""

    ids: NDArray[np.int64]
    levels: NDArray[np.int8]
    lists: NDArray[np.int32]
    partition: Partition | None


def _indexed(content: _Content, dims: int, kind: IndexKind) -> VectorIndex:
    ids, levels, lists, partition = content
    if partition is not None and kind == "auto":
        parted = make_parted(partition, ids, levels, lists)
        if parted is not None:
            return parted
    index = make_index(dims, kind)
    index.add(ids, from_levels(levels))
    return index


def _parse(data: bytes, expected: dict[str, Any]) -> tuple[_Content, int]:
    """The content of a cache file, and its change number."""
    view = memoryview(data)
    digest_at = len(_MAGIC) + _LENGTH.size
    head_at = digest_at + _DIGEST_BYTES
    if view[: len(_MAGIC)] != _MAGIC:
        raise _BadCacheError("it has another format")
    if len(view) < head_at:
        raise _BadCacheError("it is truncated")
    (head_bytes,) = _LENGTH.unpack_from(view, len(_MAGIC))
    payload_at = head_at + head_bytes
    head = view[head_at:payload_at]
    if hashlib.sha256(head).digest() != view[digest_at:head_at]:
        raise _BadCacheError("its header is damaged")
    fields = json.loads(bytes(head))
    for name, value in expected.items():
        if fields[name] != value:
            raise _BadCacheError(f"its {name} is {fields[name]!r}, not {value!r}")
    content = _split(view[payload_at:], fields["count"], fields["lists"], fields["dims"])
    if hashlib.sha256(view[payload_at:]).hexdigest() != fields["sha256"]:
        raise _BadCacheError("its vectors are damaged")
    # Whoever wrote the digests may have written anything else, too.
    if not content.levels.any(axis=1).all():
        raise _BadCacheError("one of its vectors is zero")
    if bool(np.any(content.ids[1:] <= content.ids[:-1])) or bool(np.any(content.ids < 0)):
        raise _BadCacheError("its ids do not ascend")
    if not all(0 <= one < max(fields["lists"], 1) for one in _span(content.lists)):
        raise _BadCacheError("it names lists that it does not have")
    return content, int(fields["change"])


def _split(payload: memoryview, count: int, lists: int, dims: int) -> _Content:
    """The arrays of a payload."""
    shapes: list[tuple[np.dtype[Any], tuple[int, ...]]] = [(_ID, (count,)), (_LEVEL, (count, dims))]
    if lists:
        shapes += [(_FLOAT, (lists, dims)), (_FLOAT, (2 * dims,)), (_LIST, (count,))]
    arrays: list[NDArray[Any]] = []
    at = 0
    for dtype, shape in shapes:
        size = math.prod(shape)
        end = at + size * dtype.itemsize
        if min(shape) < 0 or end > len(payload):
            raise _BadCacheError("its length is wrong")
        arrays.append(np.frombuffer(payload[at:end], dtype=dtype).reshape(shape))
        at = end
    if at != len(payload):
        raise _BadCacheError("its length is wrong")
    ids, levels = arrays[0].astype(np.int64, copy=False), arrays[1]
    if not lists:
        return _Content(ids, levels, np.empty(0, dtype=np.int32), None)
    centroids, ranges = (one.astype(np.float32) for one in arrays[2:4])
    if not np.isfinite(centroids).all() or not np.isfinite(ranges).all():
        raise _BadCacheError("what parts its lists is not finite")
    return _Content(ids, levels, arrays[4].astype(np.int32), Partition(centroids, ranges))


def _span(values: NDArray[np.int32]) -> tuple[int, ...]:
    """The least and the greatest, if there are any."""
    return (int(values.min()), int(values.max())) if values.size else ()


def _read(path: str | os.PathLike[str]) -> bytes:
    """The content of a file; links, pipes and devices are errors, where the platform can tell."""
    # Without waiting: opening a pipe would wait for somebody who writes to it.
    plain = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, os.O_RDONLY | plain)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _BadCacheError("it is no file")
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
