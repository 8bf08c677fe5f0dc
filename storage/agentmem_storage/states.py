"""Keeps the cache of readers' states in step with the rows.

States are kept only of chunks that the store still has as they were read, and are erased after the
transaction that changes or deletes their chunk. Both take the lock of the cache, in which the rows
are read again before anything is kept: so whatever happens first, nothing of a forgotten memory is
left in the cache.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import select

from agentmem_storage.errors import StoreError
from agentmem_storage.records import KeptStates, NewStates
from agentmem_storage.sql.connection.base import AnyDatabase
from agentmem_storage.sql.reader_states.states import StatesCache
from agentmem_storage.sql.schema.tables import chunks, sources
from agentmem_storage.sql.where.selection import id_list
from agentmem_storage.timestamps import to_micros

_log = logging.getLogger(__name__)


class StatesSync:
    """The states that are kept for one open store.

    Args:
        database: The rows.
        store_id: Id of the store.
        most_bytes: The most that is kept; 0 switches the cache off.
        timeout_s: How long an erasure waits for other processes, in seconds.
    """

    def __init__(
        self, database: AnyDatabase, *, store_id: str, most_bytes: int, timeout_s: float
    ) -> None:
        location = database.location
        self._database = database
        self._timeout_s = timeout_s
        self._cache = StatesCache(
            location.states,
            store_id=store_id,
            most_bytes=most_bytes,
            writable=location.writable,
        )

    @property
    def keeps(self) -> bool:
        """Whether anything can be kept."""
        return self._cache.keeps

    def find(self, reader: str, wanted: Mapping[int, bytes]) -> dict[int, bytes]:
        """See `agentmem_storage.store.Store.find_states`."""
        return self._cache.find(reader, wanted)

    def held(self, reader: str, wanted: Mapping[int, bytes]) -> set[int]:
        """See `agentmem_storage.store.Store.held_states`."""
        return self._cache.held(reader, wanted)

    def keep(self, reader: str, made: Sequence[NewStates], *, evict: bool) -> KeptStates:
        """See `agentmem_storage.store.Store.keep_states`."""
        by_id = {one.chunk_id: one for one in made}
        try:
            return self._cache.keep(
                reader,
                {id: (one.digest, one.packed) for id, one in by_id.items()},
                lambda: self._as_read(by_id),
                evict=evict,
            )
        except StoreError as error:
            _log.warning("no states are kept: %s", error)
            return KeptStates(frozenset(), full=True)

    def erase(self, ids: Iterable[int]) -> bool:
        """Erase the states of chunks; whether nothing of them is left."""
        return self._cache.erase(ids, timeout_s=self._timeout_s)

    def sweep(self, *, wait: bool) -> bool:
        """Erase the states of all chunks that are gone; whether nothing of them is left.

        Args:
            wait: Whether to wait for other processes.
        """
        return self._cache.sweep(self._present, timeout_s=self._timeout_s if wait else 0.0)

    def stored_bytes(self) -> int:
        """Bytes that the cache takes."""
        return self._cache.stored_bytes()

    def close(self) -> None:
        """Neither find nor keep anything from now on."""
        self._cache.close()

    def _present(self, ids: Sequence[int]) -> Collection[int]:
        with self._database.read() as connection:
            query = select(chunks.c.id).where(chunks.c.id.in_(id_list(ids)))
            return connection.scalars(query).all()

    def _as_read(self, by_id: Mapping[int, NewStates]) -> Collection[int]:
        """Which chunks the store has with the text, time and title that the states were made of."""
        query = (
            select(chunks.c.id, chunks.c.text_hash, sources.c.created_at, sources.c.title)
            .join(sources, sources.c.id == chunks.c.source_id)
            .where(chunks.c.id.in_(id_list(by_id)))
        )
        with self._database.read() as connection:
            return [
                id
                for id, text_hash, created_at, title in connection.execute(query)
                if text_hash == by_id[id].text_hash
                and created_at == to_micros(by_id[id].source.created_at, "created_at")
                and title == by_id[id].source.title
            ]
