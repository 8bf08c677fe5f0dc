"""A mark in the database file that says: my newest rows are in a write-ahead log beside me.

A database that was copied without its log is an older, consistent state of the store, which nothing
would tell from a complete one. The mark is the database's ``user_version``, and it has two values
at the same time: not 0 in the file itself while the log holds more than the file, and 0 in the log.
So whoever reads both sees 0; SQLite, when it has copied the whole log to the file, has also copied
the 0; and a file that has a mark and no log is incomplete. It is not if whoever set the mark died
before clearing it, as `agentmem_storage.sql.connection.reached` then says.

The mark also names the log, by the number in its header that SQLite raises by 1 whenever it starts
the log anew. A file and a log of different times would be mixed page by page, without an error. And
it says that the file of `agentmem_storage.sql.connection.reached` is there, which tells an older or
shortened log of the same time; without it a copy is refused, since it may lack anything.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from agentmem_storage.errors import StoreIncompleteError
from agentmem_storage.sql.connection import reached
from agentmem_storage.sql.connection.files import has_rows, log_of, unlocked
from agentmem_storage.sql.connection.migrations import APPLICATION_ID

# A mark without a name: of an earlier version, or if `reached` could not write its file.
_UNNAMED = 1
# Marks with a name have this bit, and the lower bits of the log's number.
_NAMED = 1 << 30
# While a mark is set, SQLite may start the log anew twice: in the commit that sets it, if all of
# the log was copied just before, and in the one that clears it.
_STARTS = 2
_LOG_HEADER_BYTES = 32

_log = logging.getLogger(__name__)


def require_complete(path: Path, label: str) -> None:
    """Check that a database file that is about to be opened has the log that it needs.

    Raises:
        StoreIncompleteError: It has not.
    """
    # Others that have the store open may change file and log between two looks: only what is still
    # so at the end counts.
    mark = _in_file(path)
    if not mark or (missing := _missing(path, mark)) is None:
        return
    if _in_file(path) == mark and _missing(path, mark) == missing:
        raise StoreIncompleteError(
            f"the store at {label!r} is incomplete: {missing}; copy all files while no process has "
            f"the store open, or make the copy with `agentmem backup`; to accept that memories are "
            f"missing, set PRAGMA user_version = 0 in {path.name}"
        )


def keep(path: Path, connection: sqlite3.Connection, *, noted: bool) -> bool:
    """Mark the file after a commit, unless it is marked already, if possible with a name.

    Args:
        path: The database file.
        connection: A connection to it, outside of transactions.
        noted: Whether `reached.note` has written its file for this commit.

    Returns:
        Whether it was marked now.
    """
    try:
        clear_if_left(connection)
        now = _in_file(path)
        if now & _NAMED or (now and not noted):
            return False
        mark = _mark_for(log_of(path)) if noted and reached.sync_mark(path) else _UNNAMED
        if mark != _UNNAMED:
            reached.note(path, connection, setting=mark)
        connection.execute(f"PRAGMA user_version = {mark}")
        try:
            _checkpoint(connection)
        finally:
            clear(connection)
        if mark != _UNNAMED and not _names(mark, log_of(path)):
            _checkpoint(connection)  # others have written much meanwhile: without a mark again
    except sqlite3.Error as error:
        # The rows are durable; only a copy without the log would not be noticed for now.
        _log.info("the database file could not be marked: %s", error)
        return False
    return True


def is_in_file(path: Path) -> bool:
    """Whether the file itself is marked."""
    return bool(_in_file(path))


def clear(connection: sqlite3.Connection) -> None:
    """Remove the mark from the log, where it must not stay."""
    connection.execute("PRAGMA user_version = 0")


def clear_if_left(connection: sqlite3.Connection) -> None:
    """Remove the mark that somebody has left who died while marking, before the log is copied."""
    if is_marked(connection):
        clear(connection)


def is_marked(connection: sqlite3.Connection) -> bool:
    """Whether the mark is seen by those who read file and log: a process died while marking."""
    return bool(connection.execute("PRAGMA user_version").fetchone()[0])


def _missing(path: Path, mark: int) -> str | None:
    """What a marked database file lacks, in words; None if nothing."""
    log = log_of(path)
    if not has_rows(log):
        if reached.holds_all(path, mark):
            return None
        return f"{path.name} was copied without {log.name}, which held its newest memories"
    if mark & _NAMED and not _names(mark, log):
        return f"{path.name} and {log.name} were copied at different times"
    if mark & _NAMED and not reached.mark_of(path).exists():
        return (
            f"{path.name} and {log.name} were copied without {reached.mark_of(path).name}, which "
            f"says whether {log.name} has all of the newest memories"
        )
    return None


def _mark_for(log: Path) -> int:
    number = _number(log)
    return _UNNAMED if number is None else _NAMED | number


def _names(mark: int, log: Path) -> bool:
    """Whether a mark with a name was set while the log was this one."""
    number = _number(log)
    # One that is unreadable belongs to nobody: SQLite ignores it.
    return number is None or (number - mark) % _NAMED <= _STARTS


def _number(log: Path) -> int | None:
    """The number by which a log is known, from 0 to 2**30 - 1; None if it has no header."""
    try:
        with log.open("rb") as file:
            header = file.read(_LOG_HEADER_BYTES)
    except OSError:
        return None
    return int.from_bytes(header[16:20]) % _NAMED if len(header) == _LOG_HEADER_BYTES else None


def _checkpoint(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


def _in_file(path: Path) -> int:
    """The mark of the file itself; 0 if it has none."""
    try:
        with closing(sqlite3.connect(unlocked(path), uri=True)) as connection:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            if application != APPLICATION_ID:
                return 0
            return int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error:
        return 0  # missing, or not a database, which opening it will say
