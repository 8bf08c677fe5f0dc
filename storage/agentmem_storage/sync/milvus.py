"""Keeps the embeddings of a store in Milvus too, and searches them there.

The rows are the truth. Milvus follows their change log, as an index in memory does, but not before
each search: what it lacks yet is scored by the rows themselves, and what it returns is looked up in
them, so that a search sees the state of its transaction, and gives the scores of an exact index.

A search writes nothing. What `agentmem_storage.sync.milvus_writer` has to write is written after
it, or after others were added.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from agentmem_storage.errors import IncompatibleModelError, InputError, StoreError
from agentmem_storage.index.base import margin, rank
from agentmem_storage.index.milvus import MOST, Held, Milvus
from agentmem_storage.records import ANY_SCOPE, Ranked, Scope
from agentmem_storage.sql.connection.base import AnyDatabase
from agentmem_storage.sql.logs import changes
from agentmem_storage.sql.logs.changes import Mark
from agentmem_storage.sql.reading.embeddings import embeddings_of, ids_after, scopes_within
from agentmem_storage.sql.schema.row_counts import ChunkCount
from agentmem_storage.sync.milvus_writer import MilvusWriter

# A search among at most so many scores the rows.
SCORED = 2048
# Milvus may lack this many changes before it is written again.
BEHIND = 256
# Results beyond k that are asked for at first; then this many times as many.
_SPARE, _MORE = 32, 8
_MOST_SCOPES = 4096
_BATCH = 4096
_COUNT = select(ChunkCount())
_NONE = np.empty(0, dtype=np.int64)

_log = logging.getLogger(__name__)


class MilvusSync:
    """The embeddings of one open store in Milvus; Milvus is asked at the first search.

    Args:
        database: The rows.
        store_id: Id of the store.
        model: Fingerprint of the bundle that made the embeddings.
        dims: K.
        index: Where Milvus is, see `agentmem_storage.index.milvus.Milvus`.
        timeout_s: How long to wait for an answer of Milvus, in seconds.

    Raises:
        InputError: The address is none, or the store is encrypted or in memory.
        MissingExtraError: What connects to Milvus is not installed.
    """

    # Milvus keeps what was deleted until it merges its files, and a while longer.
    erases = False

    def __init__(
        self,
        database: AnyDatabase,
        *,
        store_id: str,
        model: str,
        dims: int,
        index: str,
        timeout_s: float,
    ) -> None:
        if database.location.in_memory:
            raise InputError(
                f"the store at {database.location.label!r} ends with this process, and its "
                f"embeddings in Milvus would not: open it with index='auto', or in a folder"
            )
        self._database = database
        self._dims = dims
        self._milvus = Milvus(index, store_id=store_id, model=model, dims=dims, timeout_s=timeout_s)
        self._writer = MilvusWriter(database, self._milvus, dims)
        self._held: Held | None = None
        # A collection that lacks rows without knowing it.
        self._robbed: Held | None = None
        self._due = False
        self._told: int | None = None

    def search(
        self,
        connection: Connection,
        newest: Mark,
        query: NDArray[np.float32],
        k: int,
        among: NDArray[np.int64] | None,
        scope: Scope = ANY_SCOPE,
    ) -> Ranked:
        """Search the state that a transaction sees; see `AnyIndexSync.search`."""
        if among is not None and among.size <= max(SCORED, k):
            return self._best(connection, query, k, among)
        for _ in range(2):
            held = self._find(connection, newest)
            if held is None:
                break
            found = self._ask(connection, held, newest, query, k, among, scope)
            if found is not None:
                return found
            # Milvus was emptied, or another process has made the collection anew.
            self._held = None
        else:
            self._robbed = held
        self._due = True
        return self._by_rows(connection, query, k, among)

    def load(self) -> None:
        """Bring Milvus up to date."""
        self._follow()

    def rebuild(self) -> None:
        """Make the collection anew; the former one is searched until that is done."""
        self._writer.begin_again()
        self._follow()

    def added(self) -> None:
        """Bring Milvus up to date if it lacks many changes."""
        with self._database.read() as connection:
            newest = changes.newest(connection).seq
        if self._told is None:
            self._told = newest
        if newest - self._told >= BEHIND:
            # Also after a failure, so that the next attempt waits for as many again.
            self._told = newest
            self._try_to_follow()

    def erase(self) -> bool:
        """Remove from Milvus what was forgotten."""
        try:
            if self._milvus.names():
                for held in self._writer.step():
                    self._milvus.flush(held.name)
        except (StoreError, IncompatibleModelError) as error:
            _log.warning("what was forgotten is in Milvus for now: %s", error)
            return False
        return True

    def save_if_due(self) -> None:
        """Bring Milvus up to date if a search has found that it lacks many changes."""
        if self._due:
            self._due = False
            robbed, self._robbed = self._robbed, None
            self._try_to_follow(robbed)

    def save_if_small(self) -> None:
        """Nothing is to be done."""

    def drop_files(self) -> None:
        """There are none."""

    def sweep(self) -> None:
        """There is nothing to sweep."""

    def stop(self) -> None:
        """Close the connection."""
        self._milvus.close()

    def close(self) -> None:
        """Close the connection."""
        self._milvus.close()

    def _find(self, connection: Connection, newest: Mark) -> Held | None:
        """The collection to search: that which has the most; None if there is none."""
        held = self._held
        if held is None or not held.complete or not self._serves(held, connection, newest):
            every = [self._milvus.held(name) for name in self._milvus.names()]
            usable = [one for one in every if one and self._serves(one, connection, newest)]
            held = max(usable, key=lambda one: (one.filled, one.mark), default=None)
            self._held = held
        return held

    def _serves(self, held: Held, connection: Connection, newest: Mark) -> bool:
        """Whether a transaction can tell what has changed since the state of a collection."""
        mark = Mark.unpack(held.mark)
        if mark.seq <= newest.seq:
            return changes.reaches(connection, mark)
        with self._database.read() as later:
            return changes.reaches(later, mark)

    def _ask(
        self,
        connection: Connection,
        held: Held,
        newest: Mark,
        query: NDArray[np.float32],
        k: int,
        among: NDArray[np.int64] | None,
        scope: Scope,
    ) -> Ranked | None:
        """Search a collection, and what it lacks; None if it is gone, or has lost something."""
        lacking = self._lacking(connection, held, newest)
        if among is not None:
            lacking = np.intersect1d(lacking, among, assume_unique=True)
        late = self._best(connection, query, k, lacking)
        scopes = scopes_within(connection, scope, _MOST_SCOPES)
        limit = k + _SPARE
        while True:
            limit = min(limit, MOST)
            found = self._milvus.search(held.name, query, limit, scopes)
            if found is None:
                return None
            ids = found.ranked.ids
            if among is not None:
                ids = ids[np.isin(ids, among)]
            best = _merged(k, late, self._best(connection, query, k, ids))
            if best.ids.size == k and self._certain(found.ranked, best):
                return best
            if found.exhausted or limit == MOST:
                break
            limit *= _MORE
        if among is not None:
            expected = among.size
        else:
            expected = int(connection.scalar(_COUNT) or 0)
        if best.ids.size >= min(k, expected):
            return best
        # Too few of the nearest are selected, or some are damaged, or Milvus has lost some.
        right = self._by_rows(connection, query, k, among)
        return None if found.exhausted and right.ids.size > best.ids.size else right

    def _certain(self, found: Ranked, best: Ranked) -> bool:
        """Whether none that Milvus has not returned could be among the best."""
        return bool(found.scores.size and found.scores[-1] < best.scores[-1] - margin(self._dims))

    def _lacking(self, connection: Connection, held: Held, newest: Mark) -> NDArray[np.int64]:
        """Ids of the chunks that a collection does not have, or not as they are, ascending."""
        mark = Mark.unpack(held.mark)
        added, removed = changes.changed(connection, mark) if mark.seq < newest.seq else ([], [])
        lacking = np.array(added, dtype=np.int64)
        if not held.complete:
            lacking = np.union1d(lacking, ids_after(connection, held.filled))
        # What was forgotten is not to stay there, though it is not found.
        if removed or not held.complete or newest.seq - mark.seq >= BEHIND:
            self._due = True
        return lacking

    def _by_rows(
        self,
        connection: Connection,
        query: NDArray[np.float32],
        k: int,
        among: NDArray[np.int64] | None,
    ) -> Ranked:
        """Search without Milvus."""
        ids = ids_after(connection, -1) if among is None else among
        return self._best(connection, query, k, ids)

    def _best(
        self, connection: Connection, query: NDArray[np.float32], k: int, ids: NDArray[np.int64]
    ) -> Ranked:
        """The best of some chunks, by the rows."""
        best = Ranked(ids=_NONE, scores=np.empty(0, dtype=np.float32))
        for first in range(0, ids.size, _BATCH):
            part = embeddings_of(connection, ids[first : first + _BATCH], self._dims)
            best = _merged(k, best, rank(part.ids, part.vectors, query, k))
        return best

    def _try_to_follow(self, robbed: Held | None = None) -> None:
        try:
            if robbed is not None:
                _log.warning("Milvus lacks what it had: the collection of the store is made anew")
                self._writer.drop(robbed)
            self._follow()
        except (StoreError, IncompatibleModelError) as error:
            _log.warning("Milvus was not brought up to date: %s", error)

    def _follow(self) -> None:
        held = self._writer.follow()
        self._held, self._told = held, Mark.unpack(held.mark).seq


def _merged(k: int, one: Ranked, other: Ranked) -> Ranked:
    """The k best of two results, ties by ascending id."""
    ids, first = np.unique(np.concatenate((one.ids, other.ids)), return_index=True)
    scores = np.concatenate((one.scores, other.scores))[first]
    order = np.lexsort((ids, -scores))[:k]
    return Ranked(ids=ids[order], scores=scores[order])
