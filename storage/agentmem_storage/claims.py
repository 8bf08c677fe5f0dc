"""Files that are being written, and what killed processes left of them.

Whoever writes a file under a name of its own locks it until it gets its right name. The lock goes
with the process, so that a file which nobody locks is one that nobody writes any more. Where there
are no such locks, a file that is open cannot be deleted (Windows), or nothing is deleted.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
# What `tempfile` puts between a prefix and a suffix.
_RANDOM = 8


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Lock a file or folder that was just made, while it is written.

    Yields:
        Whether it is still there: somebody may have taken it for abandoned just before.
    """
    if fcntl is None:
        yield True
        return
    try:
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError:
        yield False
        return
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield _is_at(descriptor, path)
    finally:
        os.close(descriptor)


def remove_abandoned(path: Path, *, also: Iterable[Path] = ()) -> bool:
    """Delete a file or folder that was being written, unless somebody still writes it.

    Args:
        path: The one that its writer locks.
        also: What it wrote beside it.

    Returns:
        Whether it was abandoned, and is gone.
    """
    try:
        descriptor = -1 if fcntl is None else os.open(path, _FLAGS)
    except OSError:
        return False
    try:
        if descriptor >= 0:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_at(descriptor, path):
                return False
        for one in also:
            one.unlink(missing_ok=True)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:  # somebody writes it, or it belongs to another user
        return False
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return True


def remove_scratch(target: Path, suffix: str = "") -> None:
    """Delete what killed processes left beside a path, under the names of `scratch_prefix`."""
    begin, length = scratch_prefix(target), len(scratch_prefix(target)) + _RANDOM + len(suffix)
    with suppress(OSError):
        for one in list(target.parent.iterdir()):
            if one.name.startswith(begin) and one.name.endswith(suffix) and len(one.name) == length:
                remove_abandoned(one)


def scratch_prefix(target: Path) -> str:
    """How the names begin of what is written for a path, beside it."""
    return f".{target.name}."


@contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """A folder beside a path in which its content is made; what killed processes left there goes.

    Raises:
        OSError: It cannot be made.
    """
    remove_scratch(target)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=scratch_prefix(target)) as name:
        with claimed(Path(name)):
            yield Path(name)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one at a path."""
    try:
        there, own = os.lstat(path), os.fstat(descriptor)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino) and not stat.S_ISLNK(
        there.st_mode
    )
