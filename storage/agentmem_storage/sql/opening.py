"""Opens the database of a store, encrypted or not."""

from __future__ import annotations

import os

from agentmem_storage.encryption.master import Key
from agentmem_storage.sql.connection.database import Database
from agentmem_storage.sql.connection.location import locate_store


def open_database(
    location: str | os.PathLike[str], key: Key | None, *, create: bool, timeout_s: float
) -> Database:
    """Open a database, creating it if necessary.

    Args:
        location: As for `agentmem_storage.store.Store.open`.
        key: The master key of an encrypted one; None: it is not encrypted.
        create: Whether it may be created.
        timeout_s: How long to wait for other writers, in seconds.

    Raises:
        StoreError: It cannot be opened; see `Database.open` and `EncryptedDatabase.open_with_key`.
    """
    if key is not None:
        # Most stores are not, and what encrypts takes a while to import.
        from agentmem_storage.sql.sealed.encrypted import EncryptedDatabase

        return EncryptedDatabase.open_with_key(location, key, create=create, timeout_s=timeout_s)
    found = locate_store(location, create=create)
    return Database.open(found, create=create, timeout_s=timeout_s)
