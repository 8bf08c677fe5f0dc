"""The files of an open store on disk, so that it is noticed if they are moved or deleted.

SQLite keeps working on a file that has been deleted or moved: what it writes then is lost, or lands
in a place that nobody will look at. Files are compared by device and inode, which stay the same for
as long as a connection is open.
"""

from __future__ import annotations

import stat
from pathlib import Path

from agentmem_storage.errors import NotAStoreError, StoreMovedError

Identity = tuple[int, int]

# What stands beside a database file: SQLite's own, and the mark of `reached`.
_BESIDE = ("-wal", "-shm", "-journal", "-mark")


class OpenFiles:
    """The database file of an open store and its write-ahead log.

    Args:
        path: The database file; it exists.
        label: The location as it was given, for error messages.
    """

    def __init__(self, path: Path, label: str) -> None:
        self.path = path
        self.log = log_of(path)
        self._label = label
        self._identity = _identity(path)
        # The log exists from the first use of the first connection to the end of the last one.
        self._log_identity: Identity | None = None

    def check(self) -> None:
        """Compare the database file with the one that was opened.

        Raises:
            StoreMovedError: It is gone, or another file is in its place.
        """
        self._require(self.path, self._identity)

    def check_log(self) -> None:
        """Compare the write-ahead log with the one that the first write found.

        Raises:
            StoreMovedError: It is gone, or another file is in its place.
        """
        if self._log_identity is None:
            self._log_identity = _identity(self.log)
        self._require(self.log, self._log_identity)

    def expect_new_log(self) -> None:
        """After the last connection was closed, which deletes the log."""
        self._log_identity = None

    def _require(self, path: Path, expected: Identity | None) -> None:
        found = _identity(path)
        if found is None or found != expected:
            what = "was moved or deleted" if found is None else "was replaced"
            raise StoreMovedError(
                f"{path.name} of the store at {self._label!r} {what} while it was open: what was "
                f"being written is not stored there; close this store, bring the file back if you "
                f"can, and open it again"
            )


def require_regular(path: Path, label: str) -> None:
    """Refuse a database whose files, as far as they exist, are not plain ones.

    Whoever made the folder may be a stranger. Opening a pipe would wait forever, and what is
    written through a link lands in somebody else's file.

    Args:
        path: The database file.
        label: The location as it was given, for error messages.

    Raises:
        NotAStoreError: One is a link, a pipe, a device or a folder.
        OSError: It cannot be looked at.
    """
    for file in (path, *(path.with_name(f"{path.name}{end}") for end in _BESIDE)):
        try:
            mode = file.lstat().st_mode
        except FileNotFoundError:
            continue
        if stat.S_ISLNK(mode):
            raise NotAStoreError(
                f"{file.name} of the store at {label!r} is a symbolic link, through which nothing "
                f"is written: open the store where its files are; its folder may be linked"
            )
        if not stat.S_ISREG(mode):
            raise NotAStoreError(
                f"{file.name} of the store at {label!r} is a folder, a pipe or a device: nothing "
                f"was changed; remove it if you know where it comes from, or use another location"
            )


def unlocked(path: Path) -> str:
    """The URI by which SQLite reads a database file as it is, without its log and without locks.

    Only SQLite may open it: closing a file drops all locks that the process has on it.
    """
    return f"{path.absolute().as_uri()}?mode=ro&immutable=1"


def log_of(path: Path) -> Path:
    """The write-ahead log of a database file."""
    return path.with_name(f"{path.name}-wal")


def has_rows(log: Path) -> bool:
    """Whether a write-ahead log exists and is not empty."""
    try:
        return log.stat().st_size > 0
    except FileNotFoundError:
        return False


def _identity(path: Path) -> Identity | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
