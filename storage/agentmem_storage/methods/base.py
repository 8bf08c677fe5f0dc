"""`StoreBase`: what a store is made of once it is open, and what its methods share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, select, update

from agentmem_storage.records import ModelBinding, Purging
from agentmem_storage.sql.connection.base import AnyDatabase
from agentmem_storage.sql.connection.identity import Identity
from agentmem_storage.sql.reading.word_counts import WordCounts
from agentmem_storage.sql.schema.tables import meta
from agentmem_storage.sql.where import expiry
from agentmem_storage.states import StatesSync
from agentmem_storage.sync.opening import open_index
from agentmem_storage.timestamps import to_micros


class StoreBase:
    """Holds the rows, the vector index, the kept states and the clock of one open store.

    Each group of a store's methods inherits from it; `agentmem_storage.store.Store` has them all.
    """

    def __init__(
        self,
        database: AnyDatabase,
        identity: Identity,
        index: str,
        *,
        states_bytes: int,
        timeout_s: float,
        purge: Purging,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._kind = index
        self._timeout_s = timeout_s
        self._purging = purge
        self._clock = clock
        self.location = database.location.label
        self.store_id = identity.store_id
        self._bind(identity.binding)
        self._states = StatesSync(
            database, store_id=self.store_id, most_bytes=states_bytes, timeout_s=timeout_s
        )

    def _bind(self, binding: ModelBinding) -> None:
        self.model = binding.model
        self.embedding_dims = binding.embedding_dims
        self._database.bind(binding.model)
        self._word_counts = WordCounts()
        self._index = open_index(
            self._database,
            store_id=self.store_id,
            model=self.model,
            dims=self.embedding_dims,
            index=self._kind,
            timeout_s=self._timeout_s,
        )

    def _rebind(self, binding: ModelBinding) -> None:
        """Bind to what the database says now, with an index of its own."""
        self._index.stop()
        self._bind(binding)

    def _now(self) -> int:
        return to_micros(self._clock(), "the time of the clock")

    def _expired_by(self, connection: Connection) -> int | None:
        """The current time if something has expired by then."""
        return expiry.moment(connection, self._now())

    def _flag(self, name: str) -> int:
        with self._database.read() as connection:
            return int(connection.scalar(select(meta.c[name])) or 0)

    def _purge(self, *, wait: bool = True) -> bool:
        """Remove the bytes of deleted rows from the files, unless that is done later.

        Returns:
            Whether none are left.
        """
        done = self._purged(wait=wait) if self._purging == "now" else not self._flag("unpurged")
        return done and self._database.erases and self._index.erases

    def _purged(self, *, wait: bool) -> bool:
        """Remove the bytes of deleted rows from the files; see `AnyDatabase.purge`."""
        noted = self._flag("unpurged")
        if not noted:
            return True
        done = [self._states.sweep(wait=wait), self._index.erase(), self._database.purge(wait=wait)]
        if not all(done):
            return False
        with self._database.write() as connection:
            connection.execute(update(meta).where(meta.c.unpurged == noted).values(unpurged=0))
        self._index.save_if_small()
        return True
