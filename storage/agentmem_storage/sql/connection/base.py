"""`AnyDatabase`: what the rest of the package asks of the database of a store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection

from agentmem_storage.errors import IncompatibleModelError, StoreError
from agentmem_storage.sql.connection.location import Location
from agentmem_storage.sql.connection.migrations import Step
from agentmem_storage.sql.connection.unsealed import Unsealed


class AnyDatabase(Unsealed, ABC):
    """An open database; safe to use from several threads.

    Attributes:
        location: Its location.
        steps: The steps that bring its tables to the current schema, in order.
        erases: Whether no byte of deleted rows remains in the files after `purge`.
    """

    steps: Sequence[Step]
    erases: bool

    def __init__(self, location: Location) -> None:
        self.location = location
        self._closed = False
        self._forked_while_used = False
        self._model: str | None = None

    def bind(self, model: str) -> None:
        """From now on, refuse every transaction once the store is bound to another model."""
        self._model = model

    @abstractmethod
    def read(self) -> AbstractContextManager[Connection]:
        """A read transaction, which sees one consistent state of the store.

        Raises:
            IncompatibleModelError: It has been bound to another model since it was opened.
        """

    @abstractmethod
    def write(self) -> AbstractContextManager[Connection]:
        """A write transaction: durable after the block, rolled back if the block raises.

        There is one at a time, whoever else writes to the store: it sees all that was committed
        before it began, and nothing that is committed later.

        Raises:
            StoreBusyError: Another writer held the lock for longer than the timeout.
            StoreUnwritableError: The disk is full or read-only.
            IncompatibleModelError: The store has been bound to another model since it was opened.
        """

    @abstractmethod
    def purge(self, *, wait: bool = True) -> bool:
        """Remove deleted rows from the files.

        Args:
            wait: Whether to wait for other processes, up to the timeout.

        Returns:
            Whether it was done.
        """

    @abstractmethod
    def empty_log(self) -> None:
        """Make room on a full disk, if that is possible now."""

    @abstractmethod
    def stored_bytes(self, connection: Connection) -> int:
        """Bytes of the files of the store."""

    @abstractmethod
    def rebuild_indexes(self, connection: Connection) -> None:
        """Rebuild the indexes of all tables, in a write transaction."""

    @abstractmethod
    def renew(self) -> None:
        """Have all connections opened again, so that none keeps what it has read."""

    @abstractmethod
    def close(self) -> None:
        """Close all connections; the database cannot be used afterwards."""

    def _require_usable(self) -> None:
        if self._closed:
            raise StoreError(f"the store at {self.location.label!r} is closed")
        if self._forked_while_used:
            raise StoreError(
                f"this process was forked while another thread was using the store at "
                f"{self.location.label!r}, which it therefore cannot use: fork before opening the "
                f"store, or start processes with 'spawn'"
            )

    def _require_bound(self, row: Sequence[Any] | None) -> None:
        """Check that the model in the row of ``meta``, if there is one yet, is that of `bind`."""
        if self._model is not None and row is not None and row[0] != self._model:
            raise IncompatibleModelError(
                f"the store at {self.location.label!r} was migrated from model {self._model!r} to "
                f"{row[0]!r:.100} while it was open: nothing was written; close it and open it "
                f"again with that model"
            )
