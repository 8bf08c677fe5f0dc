"""Follows a database that is read without locks, because its folder cannot be written.

SQLite reads such a file as if nobody wrote to it (``immutable``): what others write later is not
seen, what they forget stays, and where they write during a read, it finds nonsense. So what the
file system says of the file and its log is compared before and after each read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from agentmem_storage.sql.connection.files import log_of


class Look(NamedTuple):
    """What changes when somebody writes to a database: inode, size and times of its two files."""

    file: tuple[int, ...]
    log: tuple[int, ...]

    @property
    def log_has_rows(self) -> bool:
        """Whether there is something in the log, which a read without locks ignores."""
        return bool(self.log) and self.log[2] > 0


def look(path: Path) -> Look:
    """How the files of a database are now."""
    return Look(_of(path), _of(log_of(path)))


def _of(path: Path) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
