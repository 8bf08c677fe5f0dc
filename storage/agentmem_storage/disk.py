"""Files and folders that only their owner can read, durable renames, and sizes on disk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from agentmem_storage.errors import InputError
from agentmem_storage.text import shown

_FOLDER_MODE = 0o700
FILE_MODE = 0o600


def as_path(given: str | os.PathLike[str], what: str = "a path") -> Path:
    """A path as callers give it, absolute; ``~`` is the home folder.

    Args:
        given: The path.
        what: What it should be, for the message.

    Raises:
        TypeError: It is neither a string nor a path.
        InputError: No file can have that path.
    """
    name = os.fspath(given)
    if not isinstance(name, str):
        raise TypeError(f"{what} is a string or a path, not {shown(given)}")
    if not name or "\0" in name:
        raise InputError(f"{shown(name)} is not {what}")
    try:
        os.fsencode(name)
        return Path(name).expanduser().absolute()
    except (RuntimeError, UnicodeEncodeError) as error:
        raise InputError(f"{name!a:.200} is not {what}: {error}") from error


def make_private_folder(folder: Path) -> bool:
    """Create a folder that only its owner can enter, whatever the umask; an existing one stays.

    Returns:
        Whether it was created.

    Raises:
        OSError: It cannot be created.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(_FOLDER_MODE)
        folder.chmod(_FOLDER_MODE)  # the umask may have taken more away
        return True
    return False


def make_private_file(path: Path) -> bool:
    """Create an empty file that only its owner can read; an existing one stays.

    SQLite gives its log and the like the mode of the database file.

    Returns:
        Whether it was created.

    Raises:
        OSError: It cannot be created.
    """
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE)
        os.close(descriptor)
        path.chmod(FILE_MODE)
        return True
    return False


def sync(path: Path) -> None:
    """Make the content of a file durable; or the names in a folder, where folders can be synced.

    Raises:
        OSError: It cannot be read or synced.
    """
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_bytes(path: Path, cache: Path | None, key_ring: Path | None) -> int:
    """Bytes of the files of a store.

    Args:
        path: Its database file.
        cache: The folder of its vector index; None if it has none.
        key_ring: The file of its keys; None if it has none.
    """
    files = [path, *(path.with_name(f"{path.name}-{end}") for end in ("wal", "shm"))]
    if key_ring is not None:
        files.append(key_ring)
    if cache is not None and cache.is_dir() and not cache.is_symlink():
        files += sorted(cache.iterdir())
    return sum(_size(file) for file in files)


def _size(file: Path) -> int:
    try:
        return file.lstat().st_size
    except FileNotFoundError:
        return 0
