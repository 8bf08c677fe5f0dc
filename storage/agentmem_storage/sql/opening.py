"""Opens the database of a store: in SQLite, encrypted or not, or in PostgreSQL."""

from __future__ import annotations

import os

from agentmem_storage.encryption.master import Key
from agentmem_storage.errors import InputError, MissingExtraError
from agentmem_storage.sql.connection.base import AnyDatabase
from agentmem_storage.sql.connection.database import Database
from agentmem_storage.sql.connection.location import locate_store

_POSTGRES = ("postgresql", "postgres")


def open_database(
    location: str | os.PathLike[str], key: Key | None, *, create: bool, timeout_s: float
) -> AnyDatabase:
    """Open a database, creating it if necessary.

    Args:
        location: As for `agentmem_storage.store.Store.open`.
        key: The master key of an encrypted one; None: it is not encrypted.
        create: Whether it may be created.
        timeout_s: How long to wait for other writers, in seconds.

    Raises:
        StoreError: It cannot be opened; see `Database.open`, `EncryptedDatabase.open_with_key` and
            `PostgresDatabase.open`.
        MissingExtraError: It is in PostgreSQL, and psycopg is not installed.
        InputError: A key is given for a store in PostgreSQL, or the location is none.
    """
    if _is_postgres(location):
        return _open_in_postgres(str(location), key, create=create, timeout_s=timeout_s)
    if key is not None:
        # Most stores are not, and what encrypts takes a while to import.
        from agentmem_storage.sql.sealed.encrypted import EncryptedDatabase

        return EncryptedDatabase.open_with_key(location, key, create=create, timeout_s=timeout_s)
    found = locate_store(location, create=create)
    return Database.open(found, create=create, timeout_s=timeout_s)


def _is_postgres(location: str | os.PathLike[str]) -> bool:
    """Whether a location is a URL of PostgreSQL's, with whatever driver."""
    if not isinstance(location, str) or "://" not in location:
        return False
    return location.partition("://")[0].partition("+")[0].lower() in _POSTGRES


def _open_in_postgres(url: str, key: Key | None, *, create: bool, timeout_s: float) -> AnyDatabase:
    try:
        from agentmem_storage.sql.postgres.database import PostgresDatabase
        from agentmem_storage.sql.postgres.location import locate
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "psycopg":
            raise
        raise MissingExtraError(
            "stores in PostgreSQL need psycopg: pip install 'latent-agentmem[postgres]'",
            extra="postgres",
        ) from error
    server = locate(url, timeout_s=timeout_s)
    if key is not None:
        raise InputError(
            f"an encrypted store is in a folder, and {server.location.label!r:.500} is none: open "
            f"it without a key, and have the server's disk encrypted"
        )
    return PostgresDatabase.open(server, create=create, timeout_s=timeout_s)
