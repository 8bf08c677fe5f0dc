"""A mark in the database file that says: my newest rows are in a write-ahead log beside me.

A database that was copied without its log is an older, consistent state of the store, which nothing
would tell from a complete one. The mark is the database's ``user_version``, and it has two values
at the same time: 1 in the file itself while the log holds more than the file, and 0 in the log. So
whoever reads both sees 0; SQLite, when it has copied the whole log to the file, has also copied the
0; and a file that says 1 and has no log is incomplete.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from agentmem_storage.errors import StoreIncompleteError
from agentmem_storage.sql.files import has_rows, log_of
from agentmem_storage.sql.migrations import APPLICATION_ID

_log = logging.getLogger(__name__)


def require_complete(path: Path, label: str) -> None:
    """Check that a database file that is about to be opened has the log that it needs.

    Raises:
        StoreIncompleteError: It has not.
    """
    # Its log comes and goes while others open and close it: looked at before and after the mark.
    if not has_rows(log_of(path)) and _in_file(path) and not has_rows(log_of(path)):
        raise StoreIncompleteError(
            f"the store at {label!r} is incomplete: {path.name} was copied without "
            f"{log_of(path).name}, which held its newest memories; copy both while no process has "
            f"the store open, or make the copy with `agentmem backup`"
        )


def keep(path: Path, connection: sqlite3.Connection) -> None:
    """Mark the file after a commit, unless it is marked already.

    Args:
        path: The database file.
        connection: A connection to it, outside of transactions.
    """
    if _in_file(path):
        return
    try:
        connection.execute("PRAGMA user_version = 1")
        try:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        finally:
            clear(connection)
    except sqlite3.Error as error:
        # The rows are durable; only a copy without the log would not be noticed for now.
        _log.info("the database file could not be marked: %s", error)


def clear(connection: sqlite3.Connection) -> None:
    """Remove the mark from the log, where it must not stay."""
    connection.execute("PRAGMA user_version = 0")


def is_marked(connection: sqlite3.Connection) -> bool:
    """Whether the mark is seen by those who read file and log: a process died while marking."""
    return bool(connection.execute("PRAGMA user_version").fetchone()[0])


def _in_file(path: Path) -> bool:
    """Whether the file itself is marked.

    Only SQLite may open it: closing a file drops all locks that the process has on it.
    """
    address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(address, uri=True)) as connection:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            return application == APPLICATION_ID and is_marked(connection)
    except sqlite3.Error:
        return False  # missing, or not a database, which opening it will say
