"""The file in which an index outlives its process.

It holds keys, not a backend's own structures, so either backend reads what the other wrote.
All numbers are little-endian:

    magic           8 bytes
    header length   uint32, bytes
    header digest   32 bytes, SHA-256 of the header
    header          JSON: `CacheHeader`, count n, SHA-256 of the payload in hex
    payload         ids, int64 (n,), ascending, then keys, float32 (n, K)

The file is only a cache: whatever is wrong with it, `load_cache` answers None.
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

from agentmem_storage.index.base import KeyIndex
from agentmem_storage.index.make import IndexKind, make_index

_MAGIC = b"AGMKEYS\x01"  # The last byte is the version of the format.
_LENGTH = struct.Struct("<I")
_DIGEST_BYTES = hashlib.sha256().digest_size
_ID = np.dtype("<i8")
_KEY = np.dtype("<f4")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheHeader:
    """Whose keys a cache holds, and how new they are.

    Attributes:
        store_id: The store they were read from.
        model: Fingerprint of the bundle that made them.
        change: Number of the last change of the store that they include.
        dims: K, the dims of a key.
    """

    store_id: str
    model: str
    change: int
    dims: int


class _BadCacheError(Exception):
    """Says in words why a cache is not used."""


def save_cache(path: str | os.PathLike[str], index: KeyIndex, header: CacheHeader) -> None:
    """Write an index to a file; a reader sees the whole new file or the whole old one.

    Temporary files that a killed process left beside it are deleted: they may hold keys
    that have been forgotten since.

    Args:
        path: The file; its folder must exist.
        index: What to write.
        header: Whose keys they are.

    Raises:
        OSError: The file cannot be written; an older one is unharmed.
        ValueError: The header tells other dims than the index has.
    """
    path = Path(path)
    if header.dims != index.dims:
        raise ValueError(f"header says {header.dims!r} dims, the index has {index.dims!r}")
    ids = index.ids()
    payload = (_raw(ids.astype(_ID, copy=False)), _raw(index.keys(ids).astype(_KEY, copy=False)))
    digest = hashlib.sha256()
    for part in payload:
        digest.update(part)
    fields = {**asdict(header), "count": ids.size, "sha256": digest.hexdigest()}
    head = json.dumps(fields, sort_keys=True).encode()

    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(_MAGIC + _LENGTH.pack(len(head)) + hashlib.sha256(head).digest() + head)
            for part in payload:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except FileNotFoundError:
        if path.exists():  # A process that saved at the same time swept this one's file away.
            _log.info("index cache %s: another process has just written it", path)
            return
        raise
    finally:
        Path(name).unlink(missing_ok=True)
    _sweep(path)
    _sync_folder(path.parent)


def load_cache(
    path: str | os.PathLike[str],
    *,
    store_id: str,
    model: str,
    dims: int,
    kind: IndexKind = "auto",
) -> tuple[KeyIndex, int] | None:
    """Read an index back.

    Args:
        path: The file.
        store_id: The store whose keys are expected.
        model: The fingerprint of the bundle expected.
        dims: K, the dims of a key expected.
        kind: Which backend to load the keys into, as in `make_index`.

    Returns:
        The index, and the number of the last change it includes. None, with a log line, if the
        file is missing, unreadable, torn, changed, of another format, or about another store.

    Raises:
        MissingExtraError: ``kind`` is ``faiss``, which is not installed.
    """
    index = make_index(dims, kind)
    expected = {"store_id": store_id, "model": model, "dims": dims}
    try:
        change = _fill(index, Path(path).read_bytes(), expected)
    except FileNotFoundError:
        _log.info("index cache %s: not there", path)
    except (OSError, MemoryError, ValueError, KeyError, TypeError, _BadCacheError) as error:
        _log.info("index cache %s: not used, %s", path, error)
    else:
        return index, change
    return None


def _fill(index: KeyIndex, data: bytes, expected: dict[str, Any]) -> int:
    """Put the keys of a cache file into an empty index; return its change number."""
    view = memoryview(data)
    digest_at = len(_MAGIC) + _LENGTH.size
    head_at = digest_at + _DIGEST_BYTES
    if view[: len(_MAGIC)] != _MAGIC:
        raise _BadCacheError("it has another format")
    if len(view) < head_at:
        raise _BadCacheError("it is torn")
    (head_bytes,) = _LENGTH.unpack_from(view, len(_MAGIC))
    ids_at = head_at + head_bytes
    head = view[head_at:ids_at]
    if hashlib.sha256(head).digest() != view[digest_at:head_at]:
        raise _BadCacheError("its header is torn or changed")
    fields = json.loads(bytes(head))
    for name, value in expected.items():
        if fields[name] != value:
            raise _BadCacheError(f"its {name} is {fields[name]!r}, not {value!r}")
    count, dims = fields["count"], index.dims
    keys_at = ids_at + count * _ID.itemsize
    if len(view) != keys_at + count * dims * _KEY.itemsize:
        raise _BadCacheError("its length is wrong")
    if hashlib.sha256(view[ids_at:]).hexdigest() != fields["sha256"]:
        raise _BadCacheError("its keys are torn or changed")
    ids = np.frombuffer(view[ids_at:keys_at], dtype=_ID).astype(np.int64)
    keys = np.frombuffer(view[keys_at:], dtype=_KEY).astype(np.float32)
    index.add(ids, keys.reshape(count, dims))
    return int(fields["change"])


def _raw(array: NDArray[Any]) -> memoryview:
    """The bytes of a contiguous array, not copied."""
    return array.reshape(-1).view(np.uint8).data


def _sweep(path: Path) -> None:
    """Delete temporary files of earlier writers of this cache."""
    for stray in path.parent.iterdir():
        if stray.name.startswith(f"{path.name}.") and stray.suffix == ".tmp":
            stray.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, where folders can be opened."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
