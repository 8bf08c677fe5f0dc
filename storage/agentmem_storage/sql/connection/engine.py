"""The connections of a store's database: how they are opened, begin transactions, and filter."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool, StaticPool

from agentmem_storage.sql.connection import statements
from agentmem_storage.sql.connection.location import Location
from agentmem_storage.sql.schema.columns import read_text
from agentmem_storage.sql.where import filters

# The option of a connection that says how its transactions begin.
BEGIN: Final = "agentmem_begin"
_MATCHER = "agentmem_matcher"
_PRAGMAS = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",
    # In WAL mode, only FULL syncs to disk at each commit.
    "PRAGMA synchronous = FULL",
    # Sorting must not leave a user's text in temporary files.
    "PRAGMA temp_store = MEMORY",
    # What stands in the schema of a file from elsewhere must not call functions of this process.
    "PRAGMA trusted_schema = OFF",
)


def make_engine(connect: Callable[[], sqlite3.Connection], *, in_memory: bool) -> Engine:
    """An engine with connections of the driver.

    Args:
        connect: Opens one.
        in_memory: Whether there is a single one, which all threads share.
    """
    pool: dict[str, Any] = {"poolclass": StaticPool}
    if not in_memory:
        # Threads never wait for a connection: SQLite, not the pool, handles concurrency.
        pool = {"poolclass": QueuePool, "max_overflow": -1}
    # Parameters contain a user's memories and must not appear in error messages.
    engine = create_engine(
        "sqlite://",
        creator=connect,
        hide_parameters=True,
        execution_options=statements.cached(),
        **pool,
    )
    event.listen(engine, "begin", _begin)
    event.listen(engine, "connect", _install_filters)
    event.listen(engine, "checkin", _forget_metadata)
    return engine


def connect(location: Location, timeout_s: float) -> sqlite3.Connection:
    """Open a connection of the driver.

    Args:
        location: Where.
        timeout_s: How long it waits for other writers, in seconds.
    """
    own = {
        "timeout": timeout_s,
        "check_same_thread": False,
        # The driver must not begin transactions: `_begin` does, with the right kind.
        "isolation_level": None,
    }
    connection: sqlite3.Connection = sqlite3.connect(location.database, **(location.options | own))
    connection.text_factory = read_text
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
    except BaseException:
        connection.close()
        raise
    return connection


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(BEGIN, "BEGIN"))


def _install_filters(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
    record.info[_MATCHER] = filters.install(connection)


def _forget_metadata(_: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
    """After each transaction, since another process may forget what this one has read."""
    if _MATCHER in record.info:
        record.info[_MATCHER].forget()
