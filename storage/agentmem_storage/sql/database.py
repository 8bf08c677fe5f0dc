"""The connection to a store's database: who may read, who may write, and for how long.

A read is a deferred transaction, so that it sees one state from first to last. A write takes the
lock at once (``BEGIN IMMEDIATE``): it then cannot fail half-way for want of it, and what it reads
is what it changes. When `Database.write` has ended, its rows are on the disk.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool, StaticPool

from agentmem_storage.errors import (
    NotAStoreError,
    StoreBusyError,
    StoreError,
    StoreNotFoundError,
    StoreUnwritableError,
)
from agentmem_storage.sql import filters
from agentmem_storage.sql.faults import translated
from agentmem_storage.sql.migrations import APPLICATION_ID
from agentmem_storage.sql.places import Place

_BEGIN = "agentmem_begin"
_PRAGMAS = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",
    # In WAL mode only FULL waits for the disk at each commit.
    "PRAGMA synchronous = FULL",
    # Sorting and such must not leave a user's words in temporary files.
    "PRAGMA temp_store = MEMORY",
)
_RETRY_S = 0.01

_log = logging.getLogger(__name__)


class Database:
    """An open database; usable from several threads.

    Args:
        place: Where it is.
        timeout_s: How long to wait for other writers, in seconds.
    """

    def __init__(self, place: Place, timeout_s: float) -> None:
        self.place = place
        self._timeout_s = timeout_s
        self._closed = False
        # One connection serves all threads of a store in memory, one transaction at a time.
        # Elsewhere only writers take turns, which is fairer than SQLite's polling.
        self._turn = threading.Lock()
        self._engine = self._make_engine()

    @classmethod
    def open(cls, place: Place, *, create: bool, timeout_s: float) -> Database:
        """Open what lies at a place and make sure that it is a store, or may become one.

        A store that cannot be written, as on a read-only disk, is opened for reading.

        Raises:
            StoreNotFoundError: Nothing is there and ``create`` is False.
            NotAStoreError: Something else is there.
            StoreUnwritableError: A new store cannot be written.
            StoreBusyError: Another process kept it locked.
        """
        try:
            return cls._open(place, create=create, timeout_s=timeout_s)
        except StoreUnwritableError:
            if place.path is None or not place.path.exists():
                raise
            for immutable in (False, True):
                if immutable and _has_journal(place):
                    break
                try:
                    calm = place.read_only(immutable=immutable)
                    return cls._open(calm, create=False, timeout_s=timeout_s)
                except (StoreUnwritableError, StoreNotFoundError):
                    continue
            raise

    @classmethod
    def _open(cls, place: Place, *, create: bool, timeout_s: float) -> Database:
        database = cls(place, timeout_s)
        try:
            if not database._is_store():
                if not create:
                    raise StoreNotFoundError(f"there is no store at {place.label!r}")
                if not place.in_memory:
                    database._use_wal()
        except BaseException:
            database.close()
            raise
        return database

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that reads; it sees one state of the store."""
        if self.place.in_memory:
            with self._taking_turn(), self._transaction("BEGIN") as connection:
                yield connection
        else:
            with self._transaction("BEGIN") as connection:
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes; durable when the block has ended, undone if it raises.

        Raises:
            StoreBusyError: Another writer held the lock for longer than the timeout.
            StoreUnwritableError: The disk is full or read-only.
        """
        with self._taking_turn(), self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def purge(self, *, wait: bool = True) -> bool:
        """Leave no byte of deleted rows in the files, at the price of writing them anew.

        ``secure_delete`` alone does not do that: when SQLite moves rows between pages, copies stay
        behind in the free space of a page, where a later delete does not find them. Then the
        write-ahead log is emptied, which has to wait for readers of older states.

        Args:
            wait: Whether to wait for others for as long as the timeout says.

        Returns:
            Whether it was done; if not, others were using the store, or the disk is full.
        """
        if self.place.in_memory:
            return True
        try:
            with self._taking_turn(), self._bare_connection() as connection:
                if not wait:
                    connection.execute("PRAGMA busy_timeout = 0")
                # Rows that stay pass through a temporary file, which may be too much for memory.
                connection.execute("PRAGMA temp_store = FILE")
                connection.execute("VACUUM")
                (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except (StoreBusyError, StoreUnwritableError) as error:
            _log.warning("bytes of forgotten memories stay in the files for now: %s", error)
            return False
        return not busy

    def close(self) -> None:
        """Close every connection; the database cannot be used any more."""
        self._closed = True
        self._engine.dispose()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        if self._closed:
            raise StoreError(f"the store at {self.place.label!r} is closed")
        with translated(self.place.label), self._engine.connect() as connection:
            connection.execution_options(**{_BEGIN: begin})
            with connection.begin():
                yield connection

    @contextmanager
    def _bare_connection(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own, for what SQLite does only outside of transactions."""
        with translated(self.place.label), closing(self._connect()) as connection:
            yield connection

    @contextmanager
    def _taking_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=self._timeout_s):
            raise StoreBusyError(
                f"another thread has kept the store at {self.place.label!r} for longer than "
                f"{self._timeout_s!r} s"
            )
        try:
            yield
        finally:
            self._turn.release()

    def _make_engine(self) -> Engine:
        pool: dict[str, Any] = {"poolclass": StaticPool}
        if not self.place.in_memory:
            # No thread waits for a connection: SQLite, not the pool, says who may do what.
            pool = {"poolclass": QueuePool, "max_overflow": -1}
        # Parameters are a user's memories: they have no place in error messages.
        engine = create_engine("sqlite://", creator=self._connect, hide_parameters=True, **pool)
        event.listen(engine, "begin", _begin)
        return engine

    def _connect(self) -> sqlite3.Connection:
        own = {
            "timeout": self._timeout_s,
            "check_same_thread": False,
            # The driver must not begin transactions: we say when, and of which kind.
            "isolation_level": None,
        }
        connection: sqlite3.Connection = sqlite3.connect(
            self.place.database, **(self.place.options | own)
        )
        try:
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            filters.install(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _is_store(self) -> bool:
        """Whether a store is there; False if nothing is.

        Raises:
            NotAStoreError: Something else is there.
        """
        try:
            with self.read() as connection:
                mark = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
                tables = connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
                empty = tables.scalar_one() == 0
        except StoreError as error:
            if _code(error) == sqlite3.SQLITE_NOTADB:
                raise self._something_else("no SQLite database") from error
            raise
        if mark != APPLICATION_ID and not empty:
            raise self._something_else("a database of another program")
        return not empty

    def _something_else(self, what: str) -> NotAStoreError:
        return NotAStoreError(
            f"what lies at {self.place.label!r} is {what}: nothing was changed, name another place"
        )

    def _use_wal(self) -> None:
        """Turn the write-ahead log on, once in a store's life.

        SQLite does not wait for a lock here, and another process may be making the same store.
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


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


def _code(error: StoreError) -> int | None:
    """SQLite's primary error code behind a translated error."""
    orig = getattr(error.__cause__, "orig", error.__cause__)
    code = getattr(orig, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def _has_journal(place: Place) -> bool:
    """Whether the write-ahead log holds rows, which an immutable database would not show."""
    assert place.path is not None
    log = place.path.with_name(f"{place.path.name}-wal")
    return log.exists() and log.stat().st_size > 0
