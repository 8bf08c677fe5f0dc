"""The connection to a store's database: transactions, locking and purging.

A read is a deferred transaction, which sees one consistent state. A write takes the lock at the
start (``BEGIN IMMEDIATE``), so that it cannot fail halfway because another writer holds it, and
nothing changes between its reads and its writes. After `Database.write` its rows are durable, in
the files at the store's location; see `agentmem_storage.sql.connection.files`.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from agentmem_storage import forks
from agentmem_storage.disk import file_bytes, make_private_file
from agentmem_storage.errors import (
    StoreBusyError,
    StoreError,
    StoreNotFoundError,
    StoreUnwritableError,
)
from agentmem_storage.shield import raise_if_abandoned
from agentmem_storage.sql.connection import erasing, log_mark, reached, statements
from agentmem_storage.sql.connection.base import AnyDatabase
from agentmem_storage.sql.connection.engine import BEGIN, connect, make_engine
from agentmem_storage.sql.connection.files import OpenFiles, has_rows, log_of
from agentmem_storage.sql.connection.location import DATABASE_NAME, Location
from agentmem_storage.sql.connection.migrations import STEPS
from agentmem_storage.sql.connection.recognition import holds_store, require_no_trigger
from agentmem_storage.sql.connection.sqlite_errors import translated, unwritable
from agentmem_storage.sql.connection.unlocked import UnlockedReads, look
from agentmem_storage.sql.lexical.fts5 import OPTIMIZE

_RETRY_S = 0.01
_STEP_S = 0.1  # between two looks at whether anybody still waits

_log = logging.getLogger(__name__)


class Database(UnlockedReads, AnyDatabase):
    """An open SQLite database; safe to use from several threads.

    Args:
        location: Its location.
        timeout_s: How long to wait for other writers, in seconds.

    Attributes:
        file_name: The name of its file in a folder of its own.
        count_memories: A query on what is stored.
    """

    file_name = DATABASE_NAME
    count_memories = "SELECT count(*) FROM chunks"
    steps = STEPS
    erases = True

    def __init__(self, location: Location, timeout_s: float) -> None:
        super().__init__(location)
        self._timeout_s = timeout_s
        self._files = None if location.path is None else OpenFiles(location.path, location.label)
        self._has_log = False
        # The number of the schema in which nobody has a trigger.
        self._schema: int | None = None
        self._seen = look(location.path) if location.path is not None else None
        # All threads of an in-memory store share one connection, one transaction at a time.
        # Otherwise only writers take turns, which is fairer than SQLite's polling.
        self._turn = threading.Lock()
        self._engine = make_engine(self._connect, in_memory=location.in_memory)
        forks.follow(self)

    @classmethod
    def open(cls, location: Location, *, create: bool, timeout_s: float) -> Database:
        """Open a database and make sure that it is a store or empty.

        A store that cannot be written, for example on a read-only disk, is opened for reading.

        Raises:
            StoreNotFoundError: There is no store and ``create`` is False.
            NotAStoreError: The location holds something else.
            StoreUnwritableError: A new store cannot be created there.
            StoreBusyError: Another process kept it locked.
            StoreIncompleteError: It was copied without its write-ahead log, or with one of another
                time, or there is nothing to tell whether the log is whole.
        """
        try:
            return cls._open(location, create=create, timeout_s=timeout_s)
        except StoreUnwritableError:
            if location.path is None or not location.path.exists():
                raise
            for immutable in (False, True):
                if immutable and _has_journal(location):
                    break
                try:
                    read_only = location.read_only(immutable=immutable)
                    return cls._open(read_only, create=False, timeout_s=timeout_s)
                except (StoreUnwritableError, StoreNotFoundError):
                    continue
            raise

    @classmethod
    def _open(cls, location: Location, *, create: bool, timeout_s: float) -> Database:
        if location.path is not None:
            log_mark.require_complete(location.path, location.label)
            reached.require_newer_log(location.path, location.label)
            if create:
                _make_private_file(location.path, location.label)
        database = cls(location, timeout_s)
        try:
            if not holds_store(database.read, location.label):
                if not create:
                    raise StoreNotFoundError(f"there is no store at {location.label!r}")
                if not location.in_memory:
                    database._use_wal()
            database._find_log()
        except BaseException:
            database.close()
            raise
        return database

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read transaction, which sees one consistent state of the store.

        Raises:
            IncompatibleModelError: It has been bound to another model since it was opened.
        """
        if self.location.in_memory:
            with self._taking_turn(), self._connected() as connection:
                with self._begun(connection, "BEGIN"):
                    yield connection
        else:
            with self._unchanged(), self._connected() as connection:
                with self._begun(connection, "BEGIN"):
                    yield connection

    @contextmanager
    def read_raw(self) -> Iterator[sqlite3.Connection]:
        """The driver's connection in a read transaction, for what SQLAlchemy does not offer."""
        with self.read() as connection:
            # A transaction sees the state at its first read.
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()
            yield _driver_connection(connection)

    @contextmanager
    def stored(self) -> Iterator[sqlite3.Connection]:
        """The driver's connection to what is on disk, in a read transaction, to be copied."""
        with self.read_raw() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A write transaction: durable after the block, rolled back if the block raises.

        Raises:
            StoreBusyError: Another writer held the lock for longer than the timeout.
            StoreUnwritableError: The disk is full or read-only.
            IncompatibleModelError: The store has been bound to another model since it was opened.
            NotAStoreError: Somebody has added a trigger or a view.
        """
        with self._taking_turn(), self._connected() as connection:
            own = _driver_connection(connection)
            changes = own.total_changes
            with self._begun(connection, "BEGIN IMMEDIATE"):
                self._check_log()
                self._check_schema(own)
                yield connection
                raise_if_abandoned()
            # Not acknowledged before this: it may have been written to a file that is gone.
            self._check_files()
            self._check_log()
            if self._has_log and self.location.path is not None and own.total_changes > changes:
                noted = reached.note(self.location.path, own)
                if log_mark.keep(self.location.path, own, noted=noted):
                    # Again, if another process has just closed the store and removed the file.
                    reached.note(self.location.path, own)

    def purge(self, *, wait: bool = True) -> bool:
        """Clean the files so that no byte of deleted rows remains in them.

        ``secure_delete`` is not enough: when SQLite moves rows between pages, copies remain in the
        free space of a page, where a later delete does not reach them; and the lexical index only
        marks what was deleted, until its segments are merged. So a small file is rewritten, and in
        a large one all that is unused is overwritten, see
        `agentmem_storage.sql.connection.erasing`. The write-ahead log is truncated, which has to
        wait for readers of older states.

        Args:
            wait: Whether to wait for other processes, up to the timeout.

        Returns:
            Whether it was done; if not, others were using the store, or the disk is full.
        """
        statements.drop_quoting(self._engine)
        if self.location.in_memory:
            return True
        path, label = self.location.path, self.location.label
        # VACUUM copies the remaining rows to a temporary file, which may not fit in memory; nor on
        # a full disk, and then the log is emptied first.
        for place in ("FILE", "MEMORY"):
            try:
                with self._taking_turn(), self._bare_connection() as connection:
                    if not wait:
                        connection.execute("PRAGMA busy_timeout = 0")
                    log_mark.clear_if_left(connection)
                    connection.execute(f"PRAGMA temp_store = {place}")
                    if _has_traces(connection):
                        connection.execute(OPTIMIZE)
                    if path is not None and erasing.is_worthwhile(connection):
                        if erasing.erase(path, label, self._timeout_s if wait else 0.0):
                            return True
                    connection.execute("VACUUM")
                    (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                return not busy
            except (StoreBusyError, StoreUnwritableError) as error:
                reason = error
                if isinstance(error, StoreBusyError):
                    break
                self.empty_log()
        _log.warning("bytes of forgotten memories remain in the files for now: %s", reason)
        return False

    def empty_log(self) -> None:
        """Move what is in the write-ahead log to the database, if that is possible now."""
        if self.location.in_memory:
            return
        with suppress(StoreError), self._taking_turn(), self._bare_connection() as connection:
            connection.execute("PRAGMA busy_timeout = 0")
            log_mark.clear_if_left(connection)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def stored_bytes(self, connection: Connection) -> int:
        """See `AnyDatabase.stored_bytes`."""
        path, cache = self.location.path, self.location.cache
        if path is None:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            return int(pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one())
        return file_bytes(path, cache, self.key_ring)

    def rebuild_indexes(self, connection: Connection) -> None:
        """See `AnyDatabase.rebuild_indexes`."""
        connection.exec_driver_sql("REINDEX")

    def renew(self) -> None:
        """Have all connections opened again, so that none keeps what it has read."""
        if not self.location.in_memory:
            self._disconnect()
        if self._files is not None:
            self._files.expect_new_log()

    def close(self) -> None:
        """Close all connections; the database cannot be used afterwards."""
        self._closed = True
        self._disconnect()
        path = self.location.path
        if path is not None and self._has_log and not log_mark.is_in_file(path):
            reached.remove_if_unneeded(path)

    def before_fork(self) -> None:
        """See `agentmem_storage.forks`."""
        # A database in memory is copied with its connection.
        if not self.location.in_memory:
            self._disconnect()
        if self._files is not None:
            self._files.expect_new_log()

    def after_fork(self, *, intact: bool) -> None:
        """See `agentmem_storage.forks`."""
        self._turn = threading.Lock()
        self._forked_while_used = self._forked_while_used or not intact
        if not self.location.in_memory:
            self._engine.dispose(close=False)

    def _disconnect(self) -> None:
        """Close all connections; SQLite copies the log to the file if nobody else has one."""
        if self._has_log and not self.location.options.get("uri"):
            with suppress(StoreError, SQLAlchemyError, sqlite3.Error):
                self._check_files()
                with self._engine.connect() as connection:
                    log_mark.clear_if_left(_driver_connection(connection))
        self._engine.dispose()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        self._require_usable()
        with (
            translated(self.location.label),
            forks.not_during_fork(),
            self._engine.connect() as connection,
        ):
            # Again: a new connection opens whatever is there now.
            self._check_files()
            yield connection

    @contextmanager
    def _begun(self, connection: Connection, begin: str) -> Iterator[None]:
        with self._transaction(connection, begin):
            if self._model is not None:
                # Not by way of SQLAlchemy: it is done in every transaction.
                own = _driver_connection(connection)
                self._require_bound(own.execute("SELECT model FROM meta").fetchone())
            yield

    @staticmethod
    @contextmanager
    def _transaction(connection: Connection, begin: str) -> Iterator[None]:
        connection.execution_options(**{BEGIN: begin})
        with connection.begin():
            yield

    @contextmanager
    def _bare_connection(self) -> Iterator[sqlite3.Connection]:
        """A separate connection, for operations that SQLite does only outside of transactions."""
        self._require_usable()
        with (
            translated(self.location.label),
            forks.not_during_fork(),
            closing(self._connect()) as connection,
        ):
            self._check_files()
            yield connection

    def _require_usable(self) -> None:
        super()._require_usable()
        self._check_files()

    def _check_files(self) -> None:
        if self._files is not None:
            self._files.check()

    def _check_log(self) -> None:
        if self._has_log and self._files is not None:
            self._files.check_log()

    def _check_schema(self, connection: sqlite3.Connection) -> None:
        (schema,) = connection.execute("PRAGMA schema_version").fetchone()
        if schema != self._schema:
            require_no_trigger(connection, self.location.label)
            self._schema = schema

    def _find_log(self) -> None:
        """Note whether there is a write-ahead log, and repair what a crash left half done."""
        if self.location.path is None:
            return
        mark = reached.expected(self.location.path)
        with self.read() as connection:
            # Only after a read does a connection know what the file says now.
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
            own = _driver_connection(connection)
            marked = log_mark.is_marked(own)
            reached.require(self.location.path, self.location.label, mark, own)
        self._has_log = mode == "wal"
        if marked and self._has_log and not self.location.options.get("uri"):
            # If others keep the store locked, one of them will.
            with suppress(StoreBusyError, StoreUnwritableError), self._bare_connection() as bare:
                log_mark.clear(bare)

    @contextmanager
    def _taking_turn(self) -> Iterator[None]:
        deadline = time.monotonic() + self._timeout_s
        while not self._turn.acquire(timeout=max(0.0, min(_STEP_S, deadline - time.monotonic()))):
            raise_if_abandoned()
            if time.monotonic() >= deadline:
                raise StoreBusyError(
                    f"another thread has locked the store at {self.location.label!r} for longer "
                    f"than {self._timeout_s!r} s"
                )
        try:
            yield
        finally:
            self._turn.release()

    def _connect(self) -> sqlite3.Connection:
        return connect(self.location, self._timeout_s)

    def _use_wal(self) -> None:
        """Enable the write-ahead log, once in the lifetime of a store.

        SQLite does not wait for a lock here, and another process may be creating the same store.
        """
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                with self._bare_connection() as connection:
                    connection.execute("PRAGMA journal_mode = WAL").fetchone()
                return
            except StoreBusyError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_S)


def _has_traces(connection: sqlite3.Connection) -> bool:
    """Whether traces of deleted rows may be in the lexical index."""
    row = connection.execute("SELECT unpurged FROM meta").fetchone()
    return row is None or row[0] >= 0


def _driver_connection(connection: Connection) -> sqlite3.Connection:
    own = connection.connection.driver_connection
    assert isinstance(own, sqlite3.Connection)
    return own


def _make_private_file(path: Path, label: str) -> None:
    try:
        make_private_file(path)
    except OSError as error:
        raise unwritable(error, label) from error


def _has_journal(location: Location) -> bool:
    """Whether the write-ahead log has rows, which a database opened as immutable ignores."""
    assert location.path is not None
    return has_rows(log_of(location.path))
