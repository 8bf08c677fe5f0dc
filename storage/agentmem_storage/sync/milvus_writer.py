"""Writes the embeddings of a store to Milvus, in steps that can be told apart.

A step is a short write transaction: nobody else writes to the database meanwhile, nor to Milvus. It
brings what Milvus has to the newest state, and adds some of what was never written. What a
collection has stands in Milvus, and is written last. So after a process was killed, or Milvus was
emptied or set back, the next step, of whichever process, goes on from there.
"""

from __future__ import annotations

import logging

import numpy as np
from sqlalchemy import Connection

from agentmem_storage.index.milvus import ALL, Held, Milvus
from agentmem_storage.sql.connection.base import AnyDatabase
from agentmem_storage.sql.logs import changes
from agentmem_storage.sql.logs.changes import Mark
from agentmem_storage.sql.reading.embeddings import embeddings_of, ids_after

# Chunks that a step adds.
_BATCH = 4096

_log = logging.getLogger(__name__)


class MilvusWriter:
    """Has Milvus follow the change log.

    Args:
        database: The rows.
        milvus: The collections.
        dims: K.
    """

    def __init__(self, database: AnyDatabase, milvus: Milvus, dims: int) -> None:
        self._database = database
        self._milvus = milvus
        self._dims = dims

    def follow(self) -> Held:
        """Bring Milvus up to date, from wherever it is.

        Returns:
            The collection that has everything.
        """
        # Before anything is locked: it may be gone.
        self._milvus.names()
        while not (held := self.step()[0]).complete:
            pass
        return held

    def begin_again(self) -> None:
        """Have the next steps make a collection anew; the former one stays until that is done."""
        self._milvus.names()
        with self._database.write() as connection:
            self._milvus.create(changes.newest(connection).packed())

    def drop(self, held: Held) -> None:
        """Delete a collection."""
        with self._database.write():
            self._milvus.drop(held.name)

    def step(self) -> list[Held]:
        """Write what has changed, and some of what was never written.

        Returns:
            What the collections have now, the one that is to stay first.
        """
        with self._database.write() as connection:
            newest = changes.newest(connection)
            usable = self._usable(connection) or [self._milvus.create(newest.packed())]
            # One that is made anew is to replace the one that is complete.
            usable.sort(key=lambda one: (one.filled, one.name))
            first, *others = usable
            written = [self._replayed(connection, first, newest, more=not first.complete)]
            if written[0].complete:
                for one in others:
                    self._milvus.drop(one.name)
            else:
                written += [self._replayed(connection, one, newest) for one in others]
        return written

    def _usable(self, connection: Connection) -> list[Held]:
        """The collections that are of the store's history; others are deleted."""
        usable = []
        for name in self._milvus.names():
            held = self._milvus.held(name)
            if held is not None and changes.reaches(connection, Mark.unpack(held.mark)):
                usable.append(held)
            else:
                _log.info("a collection of the store is made anew: Milvus has %s no more", name)
                self._milvus.drop(name)
        return usable

    def _replayed(
        self, connection: Connection, held: Held, newest: Mark, *, more: bool = False
    ) -> Held:
        """Bring a collection to the newest state, with more chunks than before or as many."""
        mark, filled = Mark.unpack(held.mark), held.filled
        if mark == newest and not more:
            return held
        changed, removed = changes.changed(connection, mark)
        added = np.array([id for id in changed if id <= filled], dtype=np.int64)
        if more:
            following = ids_after(connection, filled, _BATCH)
            filled = int(following[-1]) if following.size == _BATCH else ALL
            added = np.union1d(added, following)
        held = Held(held.name, newest.packed(), filled)
        embeddings = embeddings_of(connection, added, self._dims)
        self._milvus.write(held, *embeddings, np.array(removed, dtype=np.int64))
        return held
