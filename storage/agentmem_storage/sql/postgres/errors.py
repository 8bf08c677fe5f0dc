"""Translates PostgreSQL's errors to errors of this package, by their codes.

Messages of the server may have a user's text in them, so only codes are repeated, but for those of
connections, which have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from agentmem_storage.errors import (
    AgentMemError,
    InputError,
    StoreBusyError,
    StoreError,
    StoreUnwritableError,
)

# Lock timeout, serialization failure, deadlock, cancelled statement.
_BUSY = ("55P03", "40001", "40P01", "57014")
# Disk full, read-only transaction, no permission, out of memory or connections.
_UNWRITABLE = ("53", "25006", "42501")
_DAMAGED = ("XX001", "XX002")
# A character that the database cannot keep: U+0000, or one that its encoding has not.
_CHARACTER = ("22021", "22P05")
_TOO_LONG = ("54000",)
# Classes of codes of a server that goes away, or cannot be reached.
_GONE = ("08", "57P")


@contextmanager
def translated(label: str) -> Iterator[None]:
    """Raise errors of PostgreSQL and SQLAlchemy in the block as ours; others pass through."""
    try:
        yield
    except DBAPIError as error:
        raise translate(error.orig, label) from error
    except (psycopg.Error, SQLAlchemyError) as error:
        raise translate(error, label) from error


def translate(error: BaseException | None, label: str) -> AgentMemError:
    """The error to raise for an error of PostgreSQL or SQLAlchemy."""
    code = getattr(error, "sqlstate", None) or ""
    if code in _BUSY:
        return StoreBusyError(
            f"the store at {label!r} is locked by another writer; nothing was written: try again, "
            f"or open it with a longer timeout_s"
        )
    if code.startswith(_UNWRITABLE):
        return StoreUnwritableError(
            f"the store at {label!r} cannot be written ({_named(error, code)}); nothing was "
            f"written: check the server's disk, its limits, and the permissions of the user"
        )
    if code in _DAMAGED:
        return StoreError(
            f"the database of the store at {label!r} is damaged ({_named(error, code)}): restore "
            f"it from a backup"
        )
    if code in _TOO_LONG:
        return InputError(
            f"an id or the name of a metadata key is too long for PostgreSQL, which indexes about "
            f"2,600 bytes; nothing was written in the store at {label!r}: shorten it"
        )
    if code in _CHARACTER or (not code and isinstance(error, psycopg.DataError)):
        return InputError(
            f"PostgreSQL cannot keep the character U+0000 in ids, names, titles and metadata; "
            f"nothing was written in the store at {label!r}: leave it out"
        )
    lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    if code.startswith(_GONE) or (not code and lost):
        return _unreachable(error, label)
    return StoreError(
        f"the store at {label!r} is not as agentmem has made it ({_named(error, code)}): another "
        f"program has changed it, or another version of agentmem has; restore it from a backup"
    )


def _unreachable(error: BaseException | None, label: str) -> StoreError:
    what = " ".join(str(error).split())
    return StoreError(
        f"the server of the store at {label!r} cannot be reached ({what:.500}): check that it is "
        f"running; if that happened during a write, add the same again, and what is there already "
        f"is recognized"
    )


def _named(error: BaseException | None, code: str) -> str:
    return f"{type(error).__name__} {code}".strip()
