"""The connection to a store in PostgreSQL: transactions, locking and purging.

A read is a transaction in ``REPEATABLE READ``, which sees one consistent state. Writers take turns
by an advisory lock of the store, so that nothing changes between a write's reads and its writes,
and change numbers ascend in the order of commits. After `PostgresDatabase.write` its rows are as
durable as the server makes them: it waits for the disk even where commits are not to.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import QueuePool

from agentmem_storage import forks
from agentmem_storage.errors import (
    InputError,
    NotAStoreError,
    StoreBusyError,
    StoreError,
    StoreMovedError,
    StoreNotFoundError,
    StoreUnwritableError,
)
from agentmem_storage.shield import raise_if_abandoned
from agentmem_storage.sql.connection import statements
from agentmem_storage.sql.connection.base import AnyDatabase
from agentmem_storage.sql.postgres.dialect import NAME, accept_question_marks
from agentmem_storage.sql.postgres.errors import translated
from agentmem_storage.sql.postgres.location import Server
from agentmem_storage.sql.postgres.schema import PURGED, STEPS

# With the schema's own number, the advisory lock of a store: "AgMm".
_LOCK: Final = 0x41674D6D
_WAIT_FOR_TURN = (
    "SELECT pg_advisory_xact_lock(?, CAST(oid AS integer)) FROM pg_namespace WHERE nspname = ?"
)
_THERE_IS_SCHEMA = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
_TABLES = (
    "SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
    "WHERE nspname = %s AND relkind IN ('r', 'p', 'v', 'm', 'f')"
)
# Also where the server, the database or the user has it switched off.
_BEGIN_WRITE = (
    "SELECT CASE current_setting('synchronous_commit') "
    "WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END"
)
# Whether a session is still the one that was set up, see `_Session`.
_MARK = "SELECT set_config('agentmem.session', %s, false), set_config('lock_timeout', %s, false)"
_MARKED = "SELECT current_setting('agentmem.session', true)"
_BYTES = (
    "SELECT CAST(coalesce(sum(pg_total_relation_size(oid)), 0) AS bigint) FROM pg_class "
    "WHERE relnamespace = CAST(current_schema() AS regnamespace) AND relkind = 'r'"
)
_LEAST_MS = 1
_UTF8 = "UTF8"
_OLDEST = 130_000

_log = logging.getLogger(__name__)


# Some tables that every store has; all are created at once.
_OWN = {"migrations", "sources", "chunks"}


class _Session(psycopg.Connection[Any]):
    """A connection that knows what it has called its session on the server.

    A pooler that gives each transaction whichever session is free would have a store read and
    write in the schema of another, and run statements that another has prepared under a name.
    """

    mark = ""

    def require_own(self, label: str) -> None:
        """Check that the session is the one that was marked.

        Raises:
            StoreError: It is another one.
        """
        # A prepared statement could be another's.
        row = self.execute(_MARKED, prepare=False).fetchone()
        if row is None or row[0] != self.mark:
            raise StoreError(
                f"a pooler between here and the server of {label!r} gives transactions of one "
                f"connection to several sessions: nothing was read or written; connect to the "
                f"server itself, or have the pooler keep sessions (PgBouncer: pool_mode=session)"
            )


class PostgresDatabase(AnyDatabase):
    """An open database of PostgreSQL's; safe to use from several threads.

    Args:
        server: Where it is.
        timeout_s: How long to wait for other writers, in seconds.
    """

    steps = STEPS
    erases = False

    def __init__(self, server: Server, timeout_s: float) -> None:
        super().__init__(server.location)
        self._server = server
        self._wait_ms = max(_LEAST_MS, int(timeout_s * 1000))
        self._store_id: str | None = None
        self._engine = _make_engine(self._connect)
        self._reads = self._engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._writes = self._engine.execution_options(isolation_level="READ COMMITTED")
        forks.follow(self)

    @classmethod
    def open(cls, server: Server, *, create: bool, timeout_s: float) -> PostgresDatabase:
        """Open a database and make sure that its schema is a store or empty.

        Raises:
            StoreNotFoundError: There is no store and ``create`` is False.
            NotAStoreError: The schema holds something else.
            StoreUnwritableError: A new store cannot be created there.
            StoreError: The server cannot be reached, or the database is not in UTF-8.
        """
        database = cls(server, timeout_s)
        try:
            database._find_schema(create=create)
        except BaseException:
            database.close()
            raise
        return database

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """See `AnyDatabase.read`."""
        with self._connected(self._reads) as connection, connection.begin():
            self._check(connection)
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """See `AnyDatabase.write`."""
        with self._connected(self._writes) as connection, connection.begin():
            connection.exec_driver_sql(_BEGIN_WRITE)
            # By its name, because a schema may have been restored in the place of another.
            connection.exec_driver_sql(_WAIT_FOR_TURN, (_LOCK, self._server.schema))
            self._check(connection)
            yield connection
            raise_if_abandoned()

    def purge(self, *, wait: bool = True) -> bool:
        """Vacuum the tables, so that deleted rows are in them no more.

        Their bytes may stay in free space until it is used again, and in the server's log and in
        copies that are made of it.

        Args:
            wait: Whether to wait for others who vacuum, up to the timeout.

        Returns:
            Whether it was done.
        """
        statements.drop_quoting(self._engine)
        options = sql.SQL("" if wait else "(SKIP_LOCKED) ")
        try:
            with self._bare_connection() as connection:
                for table in PURGED:
                    connection.execute(
                        sql.SQL("VACUUM {}{}").format(options, sql.Identifier(table))
                    )
        except (StoreBusyError, StoreUnwritableError) as error:
            _log.warning("deleted rows remain in the tables for now: %s", error)
            return False
        return True

    def empty_log(self) -> None:
        """See `AnyDatabase.empty_log`: the server does that by itself."""

    def stored_bytes(self, connection: Connection) -> int:
        """See `AnyDatabase.stored_bytes`."""
        return int(connection.exec_driver_sql(_BYTES).scalar_one())

    def rebuild_indexes(self, connection: Connection) -> None:
        """See `AnyDatabase.rebuild_indexes`."""
        for table in PURGED:
            connection.exec_driver_sql(f"REINDEX TABLE {table}")

    def renew(self) -> None:
        """See `AnyDatabase.renew`."""
        self._engine.dispose()

    def close(self) -> None:
        """See `AnyDatabase.close`."""
        self._closed = True
        self._engine.dispose()

    def before_fork(self) -> None:
        """See `agentmem_storage.forks`."""
        self._engine.dispose()

    def after_fork(self, *, intact: bool) -> None:
        """See `agentmem_storage.forks`."""
        self._forked_while_used = self._forked_while_used or not intact
        self._engine.dispose(close=False)

    @contextmanager
    def _connected(self, engine: Engine) -> Iterator[Connection]:
        self._require_usable()
        with (
            translated(self.location.label),
            forks.not_during_fork(),
            engine.connect() as connection,
        ):
            session = connection.connection.driver_connection
            assert isinstance(session, _Session)
            try:
                session.require_own(self.location.label)
            except psycopg.Error:
                connection.invalidate()  # it does not go back to the pool
                raise
            yield connection

    @contextmanager
    def _bare_connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection of its own, for what PostgreSQL does only outside of transactions."""
        self._require_usable()
        with (
            translated(self.location.label),
            forks.not_during_fork(),
            closing(self._connect()) as connection,
        ):
            connection.autocommit = True
            yield connection

    def _check(self, connection: Connection) -> None:
        """Check that the store is still the one that was opened, and has its model."""
        if self._model is None:
            return
        row = connection.exec_driver_sql("SELECT model, store_id FROM meta").one_or_none()
        self._require_bound(row)
        if row is None or self._store_id not in (None, row.store_id):
            raise StoreMovedError(
                f"the store at {self.location.label!r} was deleted or replaced while it was open: "
                f"nothing was read or written; close it and open it again"
            )
        self._store_id = row.store_id

    def _find_schema(self, *, create: bool) -> None:
        """Find the schema, or make it."""
        label, schema = self.location.label, self._server.schema
        with self._bare_connection() as connection:
            if connection.info.server_version < _OLDEST:
                raise StoreError(
                    f"the server of {label!r} is too old for stores: they need PostgreSQL 13"
                )
            if connection.info.parameter_status("server_encoding") != _UTF8:
                raise StoreError(
                    f"the database of {label!r} is not in UTF-8: make one with CREATE DATABASE "
                    f"... ENCODING 'UTF8' TEMPLATE template0"
                )
            there = connection.execute(_THERE_IS_SCHEMA, [schema]).fetchone()
            tables = {row[0] for row in connection.execute(_TABLES, [schema])}
            if tables and not tables >= _OWN:
                raise NotAStoreError(
                    f"the schema {schema!r} of {label!r} has tables of another program: nothing "
                    f"was changed; give the store a schema of its own, as in ...?schema=memories"
                )
            if not tables and not create:
                raise StoreNotFoundError(f"there is no store at {label!r}")
            if there is None:
                with connection.transaction():
                    connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", [_LOCK])
                    connection.execute(
                        sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema))
                    )

    def _connect(self) -> _Session:
        try:
            connection = _Session.connect(**self._server.arguments)
        except UnicodeError as error:
            raise InputError(
                f"the name of a host in {self.location.label!r:.500} is not one ({error})"
            ) from error
        try:
            # Nothing of other schemas: whoever may create something there must not be called.
            own = sql.Identifier(self._server.schema)
            connection.execute(sql.SQL("SET search_path = {}, pg_catalog, pg_temp").format(own))
            connection.mark = secrets.token_hex(8)
            connection.execute(_MARK, [connection.mark, str(self._wait_ms)])
            connection.commit()
        except BaseException:
            connection.close()
            raise
        return connection


def _make_engine(connect: Any) -> Engine:
    # Threads never wait for a connection: the server, not the pool, handles concurrency. One that
    # the server has closed meanwhile is not used. Parameters contain a user's memories and must not
    # appear in error messages.
    engine = create_engine(
        f"{NAME}://",
        creator=connect,
        poolclass=QueuePool,
        max_overflow=-1,
        pool_pre_ping=True,
        hide_parameters=True,
        execution_options=statements.cached(),
        use_native_hstore=False,
    )
    accept_question_marks(engine)
    return engine
