"""The files of an open store on disk, so that it is noticed if they are moved or deleted.

SQLite keeps working on a file that has been deleted or moved: what it writes then is lost, or lands
in a place that nobody will look at. Files are compared by device and inode, which stay the same for
as long as a connection is open.
"""

from __future__ import annotations

from pathlib import Path

from agentmem_storage.errors import StoreMovedError

Identity = tuple[int, int]


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
