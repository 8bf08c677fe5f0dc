"""Follows a database that is read without locks, because its folder cannot be written.

SQLite reads such a file as if nobody wrote to it (``immutable``): what others write later is not
seen, what they forget stays, and where they write during a read, it finds nonsense. So what the
file system says of the file and its log is compared before and after each read.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine

from agentmem_storage.errors import StoreBusyError, StoreError, StoreUnwritableError
from agentmem_storage.sql.connection.files import log_of
from agentmem_storage.sql.connection.location import Location
from agentmem_storage.sql.connection.unsealed import Unsealed


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


class UnlockedReads(Unsealed):
    """The part of a database that reads without locks, if its location says so."""

    _closed: bool
    _engine: Engine
    _seen: Look | None
    _turn: threading.Lock

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Without locks: of one state of the file, the newest. With them, SQLite sees to that.

        Raises:
            StoreBusyError: The file was written during the read.
            StoreUnwritableError: What is new is in a log, which cannot be read without writing.
        """
        if not self._follow():
            yield
            return
        seen = self._seen
        error: StoreError | None = None
        try:
            yield
        except StoreError as raised:
            error = raised
        assert self.location.path is not None
        if look(self.location.path) != seen:
            raise StoreBusyError(
                f"the store at {self.location.label!r} was written by another process while this "
                f"one was reading, which may not lock it: try again"
            ) from error
        if error is not None:
            raise error

    def _follow(self) -> bool:
        """Read what is new in a file that is read without locks; whether it still is."""
        if not self.location.unlocked or self.location.path is None or self._closed:
            return False
        with self._turn:
            now = look(self.location.path)
            if now == self._seen:
                return self.location.unlocked
            self._seen = now
            # Whatever connections have read is of the old state.
            self._engine.dispose()
            if now.log_has_rows:
                locked = self.location.read_only(immutable=False)
                if not self._opens(locked):
                    self._seen = None
                    raise StoreUnwritableError(
                        f"the store at {self.location.label!r} is being written by another "
                        f"process, and this one may not read what is in its log: open it with "
                        f"permission to write to its folder, or read a copy made with "
                        f"`agentmem backup`"
                    )
                self.location = locked
            return self.location.unlocked

    def _opens(self, location: Location) -> bool:
        """Whether the database can be read at a location."""
        try:
            connection = sqlite3.connect(location.database, **location.options)
            with closing(connection):
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error:
            return False
        return True
