"""Keeps a vector index in step with the rows.

The index is a cache of the keys in SQL. It knows which state of the store it has seen, and before
each search it does what the change log says has happened since. The file in which it outlives the
process is written and deleted under the database's write lock: nobody can then save an index with
keys that another process is just forgetting.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from agentmem_storage.errors import CorruptRecordError, StoreError
from agentmem_storage.index import (
    CacheHeader,
    IndexKind,
    KeyIndex,
    load_cache,
    make_index,
    save_cache,
)
from agentmem_storage.records import Ranked
from agentmem_storage.sql import changes, codec
from agentmem_storage.sql.changes import Mark
from agentmem_storage.sql.database import Database
from agentmem_storage.sql.faults import unwritable
from agentmem_storage.sql.selecting import numbers
from agentmem_storage.sql.tables import chunks

SAVE_AFTER = 2000
_BATCH = 4096
_CACHE_NAME = "keys.cache"

_log = logging.getLogger(__name__)


class IndexSync:
    """The search index of one open store. Nothing is loaded before the first search.

    Args:
        database: The rows.
        store_id: Whose index it is.
        model: Fingerprint of the bundle whose keys it holds.
        dims: K.
        kind: Which backend.
    """

    def __init__(
        self, database: Database, *, store_id: str, model: str, dims: int, kind: IndexKind
    ) -> None:
        self._database = database
        self._store_id = store_id
        self._model = model
        self._dims = dims
        self._kind = kind
        self._lock = threading.Lock()
        self._index: KeyIndex | None = None
        if kind != "auto":
            # A backend that was asked for by name and lacks is told at once.
            make_index(dims, kind)
        self._mark = Mark()
        self._unsaved = 0
        folder = database.place.cache
        self._path = None if folder is None else folder / _CACHE_NAME

    def search(
        self,
        connection: Connection,
        query: NDArray[np.float32],
        k: int,
        among: NDArray[np.int64] | None,
    ) -> Ranked:
        """Catch up with what a transaction sees, then search; see `KeyIndex.search`."""
        with self._lock:
            return self._caught_up(connection).search(query, k, among=among)

    def rebuild(self) -> None:
        """Throw the index away and make it again from the rows."""
        with self._database.read() as connection, self._lock:
            self._rebuild(connection, "on request")
        self.save()

    def save_if_due(self) -> None:
        """Save once many changes are not in the file."""
        if self._unsaved >= SAVE_AFTER:
            self.save()

    def save(self) -> None:
        """Write the file if it is not up to date. If that fails, it is only a slower start."""
        if self._path is None or self._index is None or not self._unsaved:
            return
        try:
            with self._database.write() as connection, self._lock:
                index = self._caught_up(connection)
                header = CacheHeader(self._store_id, self._model, self._mark.packed(), self._dims)
                self._path.parent.mkdir(exist_ok=True)
                save_cache(self._path, index, header)
        except (OSError, StoreError) as error:
            _log.warning("the search index was not saved: %s", error)
        # After a failure too: the next attempt is worth its time when as much has changed again.
        self._unsaved = 0

    def drop_files(self) -> None:
        """Delete the file, and what a killed process left beside it, under the write lock.

        Raises:
            StoreUnwritableError: A file cannot be deleted.
        """
        if self._path is None or not self._path.parent.is_dir():
            return
        try:
            for file in sorted(self._path.parent.glob(f"{self._path.name}*")):
                file.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(error, self._database.place.label) from error
        self._unsaved = max(self._unsaved, 1)

    def _caught_up(self, connection: Connection) -> KeyIndex:
        if self._index is None:
            self._load(connection)
        newest = changes.newest(connection)
        if newest.seq > self._mark.seq:
            self._replay(connection, newest)
        assert self._index is not None
        return self._index

    def _load(self, connection: Connection) -> None:
        if self._path is None:
            self._rebuild(connection, "it has no file")
            return
        loaded = load_cache(
            self._path,
            store_id=self._store_id,
            model=self._model,
            dims=self._dims,
            kind=self._kind,
        )
        if loaded is None:
            self._rebuild(connection, "its file cannot be used")
            return
        mark = Mark.unpack(loaded[1])
        if changes.is_past(connection, mark):
            self._index, self._mark = loaded[0], mark
        else:
            self._rebuild(connection, "its file tells of another history")

    def _rebuild(self, connection: Connection, reason: str) -> None:
        index = make_index(self._dims, self._kind)
        newest = changes.newest(connection)
        rows = connection.execute(
            select(chunks.c.id, chunks.c.key).order_by(chunks.c.id),
            execution_options={"yield_per": _BATCH},
        )
        for part in rows.partitions():
            self._add(index, [row.id for row in part], [row.key for row in part])
        self._index, self._mark, self._unsaved = index, newest, max(len(index), 1)
        _log.info("search index made from %d keys: %s", len(index), reason)

    def _replay(self, connection: Connection, newest: Mark) -> None:
        # The last thing that happened to a chunk is what counts; ids never come back.
        last = {chunk_id: op for op, chunk_id in changes.after(connection, self._mark)}
        added = sorted(chunk_id for chunk_id, op in last.items() if op == changes.ADD)
        removed = sorted(chunk_id for chunk_id, op in last.items() if op == changes.REMOVE)
        index = self._index
        assert index is not None
        if removed:
            index.remove(np.array(removed, dtype=np.int64))
        for first in range(0, len(added), _BATCH):
            part = added[first : first + _BATCH]
            query = select(chunks.c.id, chunks.c.key).where(chunks.c.id.in_(numbers(part)))
            rows = connection.execute(query.order_by(chunks.c.id)).all()
            self._add(index, [row.id for row in rows], [row.key for row in rows])
        self._mark = newest
        self._unsaved += len(last)

    def _add(self, index: KeyIndex, ids: Sequence[int], blobs: Sequence[bytes]) -> None:
        """Add keys; one that is damaged is left out with a warning, and `check` finds it too."""
        intact = dict(zip(ids, blobs, strict=True))
        while intact:
            try:
                keys = codec.decode_keys(list(intact.values()), list(intact))
            except CorruptRecordError as error:
                _log.warning("left out of search by key: %s", error)
                intact = {one: blob for one, blob in intact.items() if one != error.id}
            else:
                index.add(np.array(list(intact), dtype=np.int64), keys)
                return
