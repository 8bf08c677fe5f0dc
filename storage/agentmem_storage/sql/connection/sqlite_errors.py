"""Translates SQLite and file system errors to errors of this package."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from agentmem_storage.errors import StoreBusyError, StoreError, StoreUnwritableError

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_UNWRITABLE = {
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_IOERR,
}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
# A truncated or unreadable file is damaged; all other I/O errors occur on writing.
_READING = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ}
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def translated(location: str) -> Iterator[None]:
    """Raise errors of SQLite and SQLAlchemy in the block as `StoreError`; others pass through."""
    try:
        yield
    except DBAPIError as error:
        raise translate(error.orig, location) from error
    except (sqlite3.Error, SQLAlchemyError) as error:
        raise translate(error, location) from error
    except UnicodeDecodeError:
        # The driver could not read SQLite's own message, which has bytes of the file in it.
        raise StoreError(
            f"the database of the store at {location!r} is damaged: restore it from a backup, or "
            f"run a check to see which memories are intact"
        ) from None


def translate(error: BaseException | None, location: str) -> StoreError:
    """The error to raise for an error of SQLite or SQLAlchemy.

    Only what cannot have a user's text in it is repeated in its message.
    """
    code = getattr(error, "sqlite_errorcode", -1)
    primary = code & 0xFF if code >= 0 else code
    if primary in _BUSY:
        return StoreBusyError(
            f"the store at {location!r} is locked by another writer; nothing was written: try "
            f"again, or open it with a longer timeout_s"
        )
    if primary in _DAMAGED or code in _READING:
        return StoreError(
            f"the database of the store at {location!r} is damaged ({error}): restore it from a "
            f"backup, or run a check to see which memories are intact"
        )
    if primary in _UNWRITABLE:
        return StoreUnwritableError(
            f"the store at {location!r} cannot be written ({error}); nothing was written: check "
            f"free space and permissions"
        )
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StoreError(
        f"the store at {location!r} is not as agentmem has made it ({name}): it is damaged, or "
        f"another program has changed it; restore it from a backup, or run a check to see which "
        f"memories are intact"
    )


def unwritable(error: OSError, location: str, *, what: str = "the store") -> StoreUnwritableError:
    """The error to raise for a file system error on writing.

    Args:
        error: Of the file system.
        location: Where something was to be written.
        what: What was to be written.
    """
    why = "no space left" if error.errno in _NO_SPACE else (error.strerror or str(error))
    return StoreUnwritableError(
        f"{what} at {location!r} cannot be written ({why}): check free space and permissions"
    )
