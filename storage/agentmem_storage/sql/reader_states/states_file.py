"""The database file of the cache of states: found, made, opened for one call, and thrown away.

It is a cache: whatever is wrong with it, it can be deleted and made again. So no connection stays
open between two calls, and the file may be deleted or replaced at any time.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agentmem_storage.disk import make_private_file
from agentmem_storage.sql.connection.files import has_rows, log_of
from agentmem_storage.sql.connection.migrations import APPLICATION_ID

PAGE = 4096
# That of a store, but for the last two letters.
STATES_ID = APPLICATION_ID ^ 0x1111
_FORMAT = 1
_SCHEMA = (
    "CREATE TABLE store (id TEXT NOT NULL)",
    "CREATE TABLE readers (id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE)",
    """
    CREATE TABLE states (
        id INTEGER PRIMARY KEY,
        reader INTEGER NOT NULL REFERENCES readers (id),
        chunk INTEGER NOT NULL,
        used INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        UNIQUE (reader, chunk)
    )
    """,
    "CREATE INDEX states_by_chunk ON states (chunk)",
    "CREATE INDEX states_by_use ON states (used, id)",
    "CREATE TABLE packed (id INTEGER PRIMARY KEY, pad BLOB NOT NULL, data BLOB NOT NULL)",
    f"PRAGMA application_id = {STATES_ID}",
    f"PRAGMA user_version = {_FORMAT}",
)
_RETRY_S = 0.01
_FOREIGN = "SELECT 1 FROM sqlite_master WHERE type IN ('trigger', 'view') LIMIT 1"
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}

_log = logging.getLogger(__name__)


class UnusableError(Exception):
    """The reason why the file is left alone."""


class StatesFile:
    """The file of a store's cache of states.

    Args:
        path: The file, which need not exist.
        store_id: Id of the store; the file of another one is thrown away.
        writable: Whether it may be written.
    """

    def __init__(self, path: Path, store_id: str, *, writable: bool) -> None:
        self.path = path
        self._store_id = store_id
        self._writable = writable

    @contextmanager
    def opened(
        self, *, create: bool, timeout_s: float, durable: bool = False
    ) -> Iterator[sqlite3.Connection | None]:
        """A connection; None if there is no file, and none is to be created.

        Args:
            create: Whether to create the file.
            timeout_s: How long to wait for other processes, in seconds.
            durable: Whether what is written must survive a loss of power.

        Raises:
            UnusableError: It is not a file of this cache.
            sqlite3.Error: It cannot be opened.
            OSError: It cannot be created.
        """
        connection = self._open(create=create, timeout_s=timeout_s)
        if connection is None:
            yield None
            return
        try:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            yield connection
        finally:
            connection.close()

    def discard(self, reason: str) -> bool:
        """Delete it; whether that was possible."""
        if not self._writable:
            return False
        try:
            for file in self._files():
                file.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("%s cannot be deleted: %s", self.path, error)
            return False
        _log.info("%s was deleted, states will be made again: %s", self.path, reason)
        return True

    def exists(self) -> bool:
        """Whether there is anything of it."""
        return any(file.exists() or file.is_symlink() for file in self._files())

    def size(self) -> int:
        """Bytes of the file and its log."""
        size = 0
        for file in self._files():
            with suppress(OSError):
                size += file.lstat().st_size
        return size

    def _files(self) -> list[Path]:
        # The log first: it must not be there when a new file is made.
        return [log_of(self.path), self.path.with_name(f"{self.path.name}-shm"), self.path]

    def _open(self, *, create: bool, timeout_s: float) -> sqlite3.Connection | None:
        if self.path.is_symlink():
            # Whoever can put a link there could have files elsewhere written.
            raise UnusableError("it is a link, which is not followed")
        if not self.path.exists():
            if not create:
                return None
            make_private_file(self.path)
        connection = self._connect(timeout_s)
        try:
            outdated = self._outdated(connection)
            if outdated is None and _is_empty(connection):
                if create:
                    self._create(connection, timeout_s)
                    return connection
                connection.close()
                return None
        except BaseException:
            connection.close()
            raise
        if outdated is None:
            return connection
        connection.close()
        if not self.discard(outdated):
            return None
        return self._open(create=create, timeout_s=timeout_s) if create else None

    def _connect(self, timeout_s: float) -> sqlite3.Connection:
        if self._writable:
            return connect(str(self.path), timeout_s)
        # Without a log, a file can be read where nothing can be written, not even a lock.
        how = "mode=ro" if has_rows(log_of(self.path)) else "mode=ro&immutable=1"
        return connect(f"{self.path.absolute().as_uri()}?{how}", timeout_s, uri=True)

    def _outdated(self, connection: sqlite3.Connection) -> str | None:
        """Why a file of this cache has to be made anew; None if it has not.

        Raises:
            UnusableError: It is another program's.
        """
        if _is_empty(connection):
            return None
        (mark,) = connection.execute("PRAGMA application_id").fetchone()
        if mark != STATES_ID:
            raise UnusableError("it is a database of another program")
        if connection.execute(_FOREIGN).fetchone() is not None:
            return "it has a trigger or a view, which may copy what is kept"
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != _FORMAT:
            return f"it has the format {version}"
        (store_id,) = connection.execute("SELECT id FROM store").fetchone()
        return None if store_id == self._store_id else "it is of another store"

    def _create(self, connection: sqlite3.Connection, timeout_s: float) -> None:
        connection.execute(f"PRAGMA page_size = {PAGE}")
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL").fetchone()
                break
            except sqlite3.OperationalError as error:
                # Another process is doing the same, and SQLite does not wait for a lock here.
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_RETRY_S)
        with transaction(connection):
            if _is_empty(connection):  # another process may have been faster
                make_tables(connection, self._store_id)


def connect(database: str, timeout_s: float, *, uri: bool = False) -> sqlite3.Connection:
    """A connection whose deletions overwrite what they delete."""
    connection = sqlite3.connect(
        database, timeout=timeout_s, isolation_level=None, check_same_thread=False, uri=uri
    )
    try:
        connection.execute("PRAGMA secure_delete = ON").fetchone()
        connection.execute("PRAGMA temp_store = MEMORY")
    except BaseException:
        connection.close()
        raise
    return connection


def make_tables(connection: sqlite3.Connection, store_id: str) -> None:
    """Create the tables in an empty database."""
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.execute("INSERT INTO store (id) VALUES (?)", (store_id,))


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction, which takes the lock at its start."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def is_damage(error: Exception) -> bool:
    """Whether an error says that the file is damaged."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DAMAGED


def _is_empty(connection: sqlite3.Connection) -> bool:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return bool(tables == 0)
