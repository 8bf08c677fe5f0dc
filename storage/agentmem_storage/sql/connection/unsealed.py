"""What is asked of a database because it may be encrypted, and what one says that is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection

from agentmem_storage.encryption.master import Key
from agentmem_storage.errors import InputError
from agentmem_storage.sql.connection.location import Location


class Fault(NamedTuple):
    """Something wrong with a file; ``chunk_id`` if that is known."""

    chunk_id: int | None
    what: str


class Unsealed:
    """A database whose files are its tables, unlike one of `agentmem_storage.sql.sealed`."""

    location: Location

    def faults(self) -> Iterator[Fault]:
        """What is wrong with the files beyond what the tables show; nothing here."""
        return iter(())

    def drop_faults(self) -> None:
        """Delete from the files what cannot be read at all; see `faults`. Nothing here."""

    def torn(self, connection: Connection) -> frozenset[int]:
        """Chunks whose message or scope nobody knows, as its row cannot be read. None here."""
        return frozenset()

    def left_out(self, kind: str) -> frozenset[int]:
        """Ids of the rows of a table that are not in it because they cannot be read. None here."""
        return frozenset()

    def has_gaps(self) -> bool:
        """Whether rows are missing from the tables because they cannot be read; none here."""
        return False

    @property
    def key_ring(self) -> Path | None:
        """The file with the keys of an encrypted store; None: this one has none."""
        return None

    def change_key(self, key: Key) -> None:
        """Give an encrypted store another master key.

        Args:
            key: As for `agentmem_storage.store.Store.open`.

        Raises:
            InputError: The store is not encrypted, or has that key; or the key file is in its
                folder.
            StoreKeyError: It is no key; or another process has changed the key; or the key ring is
                missing or damaged.
        """
        raise InputError(
            f"the store at {self.location.label!r} is not encrypted, so it has no key to change: "
            f"export it, and load the file into a new store that is opened with one"
        )

    def copy_keys(self, folder: Path) -> None:
        """Copy the keys of an encrypted store to a folder; this one has none."""
