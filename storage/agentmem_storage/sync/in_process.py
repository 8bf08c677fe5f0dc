"""Keeps the vector index in sync with the rows, by replaying the change log.

The index is a cache of the embeddings in SQL. It knows which state of the store it reflects, and
before each search it applies the changes logged since. Its cache file is written and deleted under
the database's write lock, so that no process can save embeddings that another one is forgetting.
That of a large store is replaced by one that is not exact; see `agentmem_storage.sync.growing`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from agentmem_storage.disk import make_private_folder
from agentmem_storage.errors import IncompatibleModelError, StoreError
from agentmem_storage.index import (
    CacheHeader,
    IndexKind,
    VectorIndex,
    build,
    load_cache,
    make_index,
    save_cache,
    strays,
    sweep,
)
from agentmem_storage.levels import to_levels
from agentmem_storage.readwrite import ReadWriteLock
from agentmem_storage.records import ANY_SCOPE, Ranked, Scope
from agentmem_storage.sql.connection.base import AnyDatabase
from agentmem_storage.sql.connection.sqlite_errors import unwritable
from agentmem_storage.sql.logs import changes
from agentmem_storage.sql.logs.changes import Mark
from agentmem_storage.sql.reading.embeddings import decode_intact, embeddings_of
from agentmem_storage.sql.reading.state import list_ids
from agentmem_storage.sql.schema.row_counts import ChunkCount
from agentmem_storage.sql.schema.tables import chunks
from agentmem_storage.sql.where.selection import GIVEN, given
from agentmem_storage.sync.growing import Growing

# The file is written anew when it lacks this many changes, or this part of the embeddings; but not
# so late that the log no longer reaches back to it.
SAVE_AFTER = 2000
_SAVE_PART = 20
# After a purge, which deletes the file, an index of fewer embeddings is written at once; a larger
# one after this many searches without a file, so that forgetting does not take longer with it.
SMALL = 20_000
_SEARCHES_WITHOUT_FILE = 64
_BATCH = 4096
_CACHE_NAME = "keys.cache"
_EMBEDDINGS = select(chunks.c.id, chunks.c.key).where(chunks.c.id.in_(GIVEN)).order_by(chunks.c.id)

_log = logging.getLogger(__name__)


class IndexSync:
    """The vector index of one open store in memory, loaded on the first search.

    Args:
        database: The rows.
        store_id: Id of the store.
        model: Fingerprint of the bundle that made the embeddings.
        dims: K.
        kind: The backend.
    """

    erases = True

    def __init__(
        self, database: AnyDatabase, *, store_id: str, model: str, dims: int, kind: IndexKind
    ) -> None:
        self._database = database
        self._store_id = store_id
        self._model = model
        self._dims = dims
        self._kind = kind
        self._lock = ReadWriteLock()
        self._growing = Growing(kind, self._lock)
        self._index: VectorIndex | None = None
        if kind != "auto":
            # Fail early if the requested backend is missing.
            make_index(dims, kind)
        self._mark = Mark()
        self._unsaved = 0
        # Since the file was deleted; None while it was not.
        self._searches: int | None = None
        folder = database.location.cache
        if folder is not None and folder.is_symlink():
            # Whoever can put a link there could have files elsewhere written or deleted.
            _log.warning("%s is a link, which is not followed: nothing is cached", folder)
            folder = None
        self._path = None if folder is None else folder / _CACHE_NAME

    def search(
        self,
        connection: Connection,
        newest: Mark,
        query: NDArray[np.float32],
        k: int,
        among: NDArray[np.int64] | None,
        scope: Scope = ANY_SCOPE,
    ) -> Ranked:
        """Catch up with the state a transaction sees, then search; see `AnyIndexSync.search`."""
        while True:
            with self._lock.reading():
                index = self._index
                current = index is not None and self._mark.seq >= newest.seq
                if index is not None and current and not self._growing.ready(newest):
                    if among is None and self._mark.seq > newest.seq:
                        # Another thread has seen later changes, which this transaction must not.
                        among = list_ids(connection, select(chunks.c.id)).ids
                    self._growing.searched(index, self._mark)
                    if self._searches is not None:
                        self._searches += 1
                    return index.search(query, k, among=among)
            with self._lock.writing():
                self._catch_up(connection, newest)

    def load(self) -> None:
        """Bring the index up to date now, and not at the first search."""
        with self._database.read() as connection:
            newest = changes.newest(connection)
            with self._lock.writing():
                self._catch_up(connection, newest)
        self.save_if_due()

    def rebuild(self) -> None:
        """Discard the index and rebuild it from the rows."""
        with self._database.read() as connection, self._lock.writing():
            self._index = None  # so that there is room for another
            ids = list_ids(connection, select(chunks.c.id)).ids
            large = self._growing.large(ids.size)
            built = build(ids, partial(self._stored, connection)) if large else None
            if built is None:
                self._rebuild(connection, "on request")
            else:
                self._take(built, changes.newest(connection))
                _log.info("index with lists built from %d embeddings: on request", len(built))
        self.save()

    def added(self) -> None:
        """Nothing is to be done before the next search."""

    def erase(self) -> bool:
        """Nothing is to be done: the next search removes it, and the file is deleted already."""
        return True

    def save_if_due(self) -> None:
        """Save if the file lacks many changes, or is missed."""
        held = 0 if self._index is None else len(self._index)
        many = self._unsaved >= max(SAVE_AFTER, min(held // _SAVE_PART, changes.KEPT // 2))
        if many or (self._searches or 0) >= _SEARCHES_WITHOUT_FILE:
            self.save()

    def save_if_small(self) -> None:
        """Save after a purge, if that does not take long."""
        if self._index is not None and len(self._index) < SMALL:
            self.save()

    def close(self) -> None:
        """Save, and give up an index that is being built."""
        self.stop()
        self.save()

    def stop(self) -> None:
        """Give up an index that is being built."""
        self._growing.stop()

    def save(self) -> None:
        """Write the file if it is out of date; a failure only makes the next start slower."""
        if self._path is None or self._index is None or not self._unsaved:
            return
        try:
            with self._database.write() as connection, self._lock.writing():
                index = self._catch_up(connection, changes.newest(connection))
                header = CacheHeader(self._store_id, self._model, self._mark.packed(), self._dims)
                make_private_folder(self._path.parent)
                save_cache(self._path, index, header)
        except (OSError, StoreError, IncompatibleModelError) as error:
            _log.warning("the vector index was not saved: %s", error)
        # Also after a failure, so that the next attempt waits until as much has changed again.
        self._unsaved = 0
        self._searches = None

    def sweep(self) -> None:
        """Delete temporary files of killed processes; a failure is logged."""
        try:
            if self._path is not None and self._path.parent.is_dir() and strays(self._path):
                with self._database.write():
                    sweep(self._path)
        except (OSError, StoreError) as error:
            _log.warning("what a killed process left is still there: %s", error)

    def drop_files(self) -> None:
        """Delete the file and any temporary files of killed processes, under the write lock.

        Raises:
            StoreUnwritableError: A file cannot be deleted.
        """
        if self._path is None or not self._path.parent.is_dir():
            return
        try:
            for file in sorted(self._path.parent.glob(f"{self._path.name}*")):
                file.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(error, self._database.location.label) from error
        self._unsaved = max(self._unsaved, 1)
        self._searches = 0

    def _catch_up(self, connection: Connection, newest: Mark) -> VectorIndex:
        if self._index is None:
            self._load(connection)
        if self._growing.ready(newest):
            self._replace(connection)
        if newest.seq > self._mark.seq:
            if changes.reaches(connection, self._mark):
                self._replay(connection, newest)
            else:
                self._rebuild(connection, "the changes since are no longer logged")
        assert self._index is not None
        return self._index

    def _replace(self, connection: Connection) -> None:
        """Take the index that was built, unless too much has changed meanwhile."""
        built = self._growing.take()
        if changes.reaches(connection, built.mark):
            self._take(built.index, built.mark)
        else:
            _log.info("an index with lists is not used: the changes since are no longer logged")

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
        if changes.reaches(connection, mark):
            self._index, self._mark = loaded[0], mark
        else:
            self._rebuild(connection, "its file is too old, or of another history")

    def _rebuild(self, connection: Connection, reason: str) -> VectorIndex:
        count = connection.scalar(select(ChunkCount())) or 0
        index = make_index(self._dims, self._kind, count)
        newest = changes.newest(connection)
        rows = connection.execute(
            select(chunks.c.id, chunks.c.key).order_by(chunks.c.id),
            execution_options={"yield_per": _BATCH},
        )
        for part in rows.partitions():
            index.add(*self._decoded(part))
        self._take(index, newest)
        _log.info("vector index built from %d embeddings: %s", len(index), reason)
        return index

    def _take(self, index: VectorIndex, mark: Mark) -> None:
        """Search an index that has just been made, and save it when there is time."""
        self._index, self._mark, self._unsaved = index, mark, max(len(index), 1)

    def _stored(
        self, connection: Connection, ids: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        """Those of some embeddings that are intact, as levels: all of them take too much memory."""
        found = embeddings_of(connection, ids, self._dims)
        return found.ids, to_levels(found.vectors)

    def _replay(self, connection: Connection, newest: Mark) -> None:
        added, removed = changes.changed(connection, self._mark)
        index = self._index
        assert index is not None
        if removed:
            index.remove(np.array(removed, dtype=np.int64))
        for first in range(0, len(added), _BATCH):
            part = added[first : first + _BATCH]
            rows = connection.execute(_EMBEDDINGS, given(part)).all()
            index.add(*self._decoded(rows))
        self._mark = newest
        self._unsaved += len(added) + len(removed)

    def _decoded(self, rows: Sequence[Any]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        return decode_intact([row.id for row in rows], [row.key for row in rows], self._dims)
