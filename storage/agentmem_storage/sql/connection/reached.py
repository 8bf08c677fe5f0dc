"""A small file beside the database that names the state which database and log must reach.

`agentmem_storage.sql.connection.log_mark` detects a copy without its write-ahead log, but not one
with an older or a truncated log, from which SQLite silently reads an older state. So after each
commit the number of the newest change is written to a file beside the log, and compared on opening.

It also has the mark that is being set on the database, until the next commit: if whoever sets it
dies, and somebody else is the last to close the store, SQLite copies the log to the database with
the mark, and deletes the log. Such a database has everything.

The number is written after its commit is durable, and not synced: after a crash it is at most too
low, which is no alarm. The file itself is synced before a database says that it needs it. Once the
log is gone, the database has everything, and the file goes too.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from agentmem_storage.disk import make_private_file, sync
from agentmem_storage.errors import StoreIncompleteError
from agentmem_storage.sql.connection.files import has_rows, log_of, unlocked

# Of a fixed width, so that it is overwritten as a whole.
_LINE = "{} {:020d} {:d} {:010d}\n"
_NOW = "SELECT store_id, (SELECT max(seq) FROM changes) FROM meta"
# Of one page, which each commit writes that changes memories.
_LAST_GIVEN = "SELECT seq FROM sqlite_sequence WHERE name = 'changes'"


class Mark(NamedTuple):
    """What a store must reach.

    Attributes:
        store_id: Its id.
        change: Number of its newest change.
        missed: Whether it was found not to reach that. SQLite then copies what there is of the log
            to the database and deletes the log, so that the next process would see no sign of it.
        setting: The mark of `agentmem_storage.sql.connection.log_mark` that has been set since that
            change, or is being set; 0 if none.
    """

    store_id: str
    change: int
    missed: bool = False
    setting: int = 0


def mark_of(path: Path) -> Path:
    """The file beside a database file."""
    return path.with_name(f"{path.name}-mark")


def note(path: Path, connection: sqlite3.Connection, *, setting: int = 0) -> bool:
    """Write down what the store has reached, after a commit.

    Args:
        path: The database file.
        connection: A connection to it, outside of transactions.
        setting: The mark that is going to be set.

    Returns:
        Whether it could be written.
    """
    # The rows are durable in any case; without the mark, only a faulty copy is not noticed.
    with suppress(sqlite3.Error):
        if (now := _reached(connection)) is not None:
            return _write(path, now._replace(setting=setting))
    return False


def holds_all(path: Path, mark: int) -> bool:
    """Whether a database without a log has everything, though it has a mark; see the module.

    Args:
        path: The database file.
        mark: The mark.
    """
    found = expected(path)
    if found is None or found.missed or found.setting != mark:
        return False
    try:
        with closing(sqlite3.connect(unlocked(path), uri=True)) as connection:
            now = _reached(connection)
    except sqlite3.Error:
        return False
    return now is not None and now.store_id == found.store_id and now.change >= found.change


def sync_mark(path: Path) -> bool:
    """Make sure that a crash does not take the mark away.

    Returns:
        Whether it could be done.
    """
    try:
        sync(mark_of(path))
        sync(path.parent)
    except OSError:
        return False
    return True


def expected(path: Path) -> Mark | None:
    """What a store must reach, to be read before its database; None without a readable mark."""
    try:
        store_id, change, missed, *setting = mark_of(path).read_text("ascii").split()
        return Mark(store_id, int(change), missed == "1", int(setting[0]) if setting else 0)
    except (OSError, ValueError):
        return None


def require(path: Path, label: str, mark: Mark | None, connection: sqlite3.Connection) -> None:
    """Check that a database has reached its mark.

    Args:
        path: The database file.
        label: The location as it was given, for error messages.
        mark: What `expected` returned before the database was opened.
        connection: A connection to it, in a transaction.

    Raises:
        StoreIncompleteError: It has a log, and has not.
    """
    if mark is None:
        return
    try:
        now = _reached(connection)
    except sqlite3.Error as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            return  # damaged or locked, which opening it will say
        now = None  # even its tables are in the part of the log that is missing
    now = now or Mark(mark.store_id, 0)
    if mark.store_id != now.store_id or mark.change <= now.change:
        return
    if not mark.missed and not has_rows(log_of(path)):
        remove(path)  # the database was replaced, by one that needs no log
        return
    _write(path, mark._replace(missed=True))
    raise StoreIncompleteError(
        f"the store at {label!r} is incomplete: {log_of(path).name} is older than {path.name}, or "
        f"copied in part, and lacks the last {mark.change - now.change:,} changes; copy all files "
        f"while no process has the store open, or make the copy with `agentmem backup`; to accept "
        f"the loss, delete {mark_of(path).name}"
    )


def require_newer_log(path: Path, label: str) -> None:
    """Check that a log is not older than its database, with whose pages its own would be mixed.

    A log that was copied with its mark before later writes is, if all of these were in the database
    by the time that this was copied: `agentmem_storage.sql.connection.log_mark` needs no mark then.

    Args:
        path: The database file.
        label: The location as it was given, for error messages.

    Raises:
        StoreIncompleteError: It is older.
    """
    if not has_rows(log_of(path)):
        return
    try:
        # Only for reading: whoever else is the last to close a database copies the log to it.
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as both:
            # Until this ends, nobody copies more of the log to the database than it reads.
            both.execute("BEGIN")
            both.execute("PRAGMA schema_version").fetchone()
            with closing(sqlite3.connect(unlocked(path), uri=True)) as alone:
                older = _is_older(both, alone)
    except sqlite3.Error:
        return  # damaged or locked, which opening it will say
    if older:
        log = log_of(path).name
        raise StoreIncompleteError(
            f"the store at {label!r} is incomplete: {log} is older than {path.name}; copy all "
            f"files while no process has the store open, or make the copy with `agentmem backup`. "
            f"If {path.name} was copied after {log}, it may be whole alone: open a copy of it in "
            f"another folder"
        )


def remove_if_unneeded(path: Path) -> None:
    """Delete the mark if the log is gone, after a database was closed."""
    if not log_of(path).exists():
        remove(path)


def remove(path: Path) -> None:
    """Delete the mark; if that fails, it stays, and is overwritten by the next commit."""
    with suppress(OSError):
        mark_of(path).unlink(missing_ok=True)


def _write(path: Path, mark: Mark) -> bool:
    try:
        make_private_file(mark_of(path))
        descriptor = os.open(mark_of(path), os.O_WRONLY)
        try:
            os.write(descriptor, _LINE.format(*mark).encode())
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return True


def _is_older(one: sqlite3.Connection, other: sqlite3.Connection) -> bool:
    """Whether something is less in a database than in another state of it that only grows."""
    for query in ("PRAGMA schema_version", "PRAGMA page_count", _LAST_GIVEN):
        mine, others = (connection.execute(query).fetchone() or (0,) for connection in (one, other))
        if mine[0] < others[0]:
            return True
        if query == "PRAGMA schema_version" and mine[0] > others[0]:
            return False  # after VACUUM, which is all that makes the file of a database shorter
    return False


def _reached(connection: sqlite3.Connection) -> Mark | None:
    row = connection.execute(_NOW).fetchone()
    return None if row is None else Mark(str(row[0]), int(row[1] or 0))
