"""Tells stores from databases of other programs, before anything is written to them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy import Connection

from agentmem_storage.errors import NotAStoreError, StoreError
from agentmem_storage.sql.connection.migrations import APPLICATION_ID
from agentmem_storage.text import shown

_FOREIGN = "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view') LIMIT 1"


def holds_store(read: Callable[[], AbstractContextManager[Connection]], label: str) -> bool:
    """Whether a database is a store; False if it is empty.

    Args:
        read: Begins a transaction.
        label: What errors call the database.

    Raises:
        NotAStoreError: It is something else.
    """
    try:
        with read() as connection:
            mark = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
            tables = connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
            empty = tables.scalar_one() == 0
            foreign = connection.exec_driver_sql(_FOREIGN).first()
    except StoreError as error:
        if _code(error) == sqlite3.SQLITE_NOTADB:
            raise _not_a_store(label, "not an SQLite database") from error
        raise
    if mark != APPLICATION_ID and not empty:
        raise _not_a_store(label, "a database of another program")
    if foreign is not None:
        raise _foreign(label, *foreign)
    return not empty


def require_no_trigger(connection: sqlite3.Connection, label: str) -> None:
    """Check that a database has no trigger or view, which agentmem never makes.

    Args:
        connection: A connection to it, in a transaction.
        label: What errors call the database.

    Raises:
        NotAStoreError: It has one.
    """
    foreign = connection.execute(_FOREIGN).fetchone()
    if foreign is not None:
        raise _foreign(label, *foreign)


def _foreign(label: str, kind: str, name: str) -> NotAStoreError:
    return NotAStoreError(
        f"{label!r} has a {kind} {shown(name)}, which agentmem has not made and which may "
        f"change or copy what is stored: nothing was changed; drop it if you know where it "
        f"comes from (DROP {str(kind).upper()}), or use another location"
    )


def _not_a_store(label: str, what: str) -> NotAStoreError:
    return NotAStoreError(f"{label!r} is {what}: nothing was changed, use another location")


def _code(error: StoreError) -> int | None:
    """SQLite's primary error code behind a translated error."""
    orig = getattr(error.__cause__, "orig", error.__cause__)
    code = getattr(orig, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF
