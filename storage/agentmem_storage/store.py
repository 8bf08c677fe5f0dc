"""A store: one unit of work per call, each committed or undone as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select, update

from agentmem_storage.errors import InputError
from agentmem_storage.index import IndexKind
from agentmem_storage.moments import now_micros, to_micros
from agentmem_storage.records import (
    EVERYTHING,
    UNSET,
    ChunkRecord,
    Forgotten,
    LatentsRecord,
    Neighbors,
    NewSource,
    Problem,
    Ranked,
    Scope,
    ScopeStats,
    Selection,
    SelectionSums,
    SourceRecord,
    StoreStats,
    Unset,
    Written,
)
from agentmem_storage.sql import checking, counting, reading, terms, writing
from agentmem_storage.sql.database import Database
from agentmem_storage.sql.identity import Identity, prepare
from agentmem_storage.sql.places import find_place
from agentmem_storage.sql.rows import check_scope, make_rows, metadata_json, storable
from agentmem_storage.sql.selecting import as_id, chosen
from agentmem_storage.sql.tables import meta
from agentmem_storage.sync import IndexSync


class Store:
    """Memories in SQLite with a search index beside them; made by `Store.open`.

    Usable from several threads, and one of several processes on the same files. K is the number
    of dims of the store's keys. Every method but `close` may raise StoreBusyError if others keep
    the store locked, and StoreError if its files are damaged or it is closed; every method that
    writes may raise StoreUnwritableError, and has then changed nothing.

    Attributes:
        location: Where it is, as it was given.
        store_id: Its own name, 32 hex digits.
        model: Fingerprint of the model bundle that it belongs to.
        key_dims: K.
    """

    def __init__(self, database: Database, identity: Identity, index: IndexKind) -> None:
        self._database = database
        self.location = database.place.label
        self.store_id = identity.store_id
        self.model = identity.model
        self.key_dims = identity.key_dims
        self._index = IndexSync(
            database, store_id=self.store_id, model=self.model, dims=self.key_dims, kind=index
        )

    @classmethod
    def open(
        cls,
        location: str | os.PathLike[str],
        *,
        model: str,
        key_dims: int,
        create: bool = True,
        timeout_s: float = 30.0,
        index: IndexKind = "auto",
    ) -> Self:
        """Open a store, or make one.

        Args:
            location: A folder; ":memory:"; or a SQLAlchemy URL such as "sqlite:///notes.db".
            model: Fingerprint of the model bundle whose latents and keys go in.
            key_dims: K of that bundle.
            create: Whether to make a store where nothing is.
            timeout_s: How long to wait for other writers, in seconds.
            index: Backend of the search by key: FAISS if installed ("auto"), "faiss", or "exact".

        Raises:
            StoreNotFoundError: Nothing is there and ``create`` is False.
            NotAStoreError: Something else is there.
            IncompatibleModelError: The store belongs to another model bundle.
            SchemaVersionError: The store was written by a newer agentmem.
            StoreUnwritableError: It cannot be made, or brought to the present form.
            MissingExtraError: The backend asked for is not installed.
        """
        place = find_place(location, create=create)
        database = Database.open(place, create=create, timeout_s=timeout_s)
        try:
            identity = prepare(database, model=model, key_dims=key_dims)
            store = cls(database, identity, index)
            # A process may have died, or been kept from it by others, before it had purged.
            store._purge(wait=False)
            return store
        except BaseException:
            database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self.location!r}, model={self.model!r})"

    def close(self) -> None:
        """Save the search index and close the files; closing twice does no harm."""
        self._index.save()
        self._database.close()

    def add(self, new: Sequence[NewSource], scope: Scope) -> list[Written]:
        """Write sources; when this returns, they are on the disk and every process sees them.

        A source whose ``content_hash`` exactly this scope has already, or that was given before
        in the same call, is not written again.

        Returns:
            What became of each, in order.

        Raises:
            InputError: Something cannot be stored; nothing was written.
        """
        check_scope(scope)
        rows = [make_rows(one, self.key_dims) for one in new]
        if not rows:
            return []
        with self._database.write() as connection:
            return writing.add(connection, rows, scope, now_micros())

    def known(self, hashes: Sequence[bytes], scope: Scope) -> dict[bytes, Written]:
        """Sources that exactly this scope has already, by content hash."""
        check_scope(scope)
        with self._database.read() as connection:
            scope_id = reading.scope_id_of(connection, scope)
            return {} if scope_id is None else reading.find_known(connection, scope_id, hashes)

    def chunks(self, ids: Iterable[int], *, keep_damaged: bool = False) -> list[ChunkRecord]:
        """Chunks in the order asked for.

        Args:
            ids: Which.
            keep_damaged: Give back damaged rows too, as `ChunkRecord.damage` says.

        Raises:
            UnknownIdError: No chunk has one of the ids.
            CorruptRecordError: A row is damaged; names the first.
        """
        with self._database.read() as connection:
            return reading.read_chunks(connection, ids, keep_damaged=keep_damaged)

    def sources(self, ids: Iterable[int], *, keep_damaged: bool = False) -> list[SourceRecord]:
        """Sources in the order asked for.

        Args:
            ids: Which.
            keep_damaged: Give back damaged rows too, as `SourceRecord.damage` says.

        Raises:
            UnknownIdError: No source has one of the ids.
            CorruptRecordError: A row is damaged; names the first.
        """
        with self._database.read() as connection:
            return reading.read_sources(connection, ids, keep_damaged=keep_damaged)

    def ids(self, selection: Selection = EVERYTHING) -> NDArray[np.int64]:
        """Ids of the selected chunks, ascending, int64 of shape (n,).

        Raises:
            FilterError: The selection's filter has a wrong shape.
        """
        with self._database.read() as connection:
            return reading.selected_ids(connection, chosen(selection))

    def count(self, selection: Selection = EVERYTHING) -> int:
        """How many chunks are selected.

        Raises:
            FilterError: The selection's filter has a wrong shape.
        """
        with self._database.read() as connection:
            return counting.count(connection, chosen(selection))

    def iterate(
        self,
        selection: Selection = EVERYTHING,
        batch_size: int = 256,
        *,
        keep_damaged: bool = False,
    ) -> Iterator[list[ChunkRecord]]:
        """Selected chunks by ascending id, in lists of up to ``batch_size``.

        No transaction stays open between two lists: the caller may write meanwhile, and what is
        added behind the present place is seen.

        Args:
            selection: Which.
            batch_size: How many in a list at most.
            keep_damaged: As in `chunks`.

        Raises:
            FilterError: The selection's filter has a wrong shape.
            CorruptRecordError: A row is damaged; those before it in its list are lost to this
                iteration.
        """
        if batch_size < 1:
            raise InputError(f"batch_size must be 1 or more, got {batch_size!r}")
        last = 0
        while True:
            with self._database.read() as connection:
                rows = reading.next_chunks(connection, selection, last, batch_size)
            if not rows:
                return
            last = rows[-1].id
            yield [reading.decode_chunk(row, keep_damaged=keep_damaged) for row in rows]

    def neighbors(self, ids: Iterable[int], reach: int = 1) -> Neighbors:
        """The chunks written just before and after each in its own scope.

        Args:
            ids: Chunk ids.
            reach: How many on each side at most, 1 or more; there are fewer at the ends.

        Raises:
            UnknownIdError: No chunk has one of the ids.
        """
        with self._database.read() as connection:
            return reading.neighbors(connection, ids, reach)

    def latents(self, ids: Iterable[int]) -> list[LatentsRecord]:
        """Latents of chunks in the order asked for, several times faster than `chunks`.

        Raises:
            UnknownIdError: No chunk has one of the ids.
        """
        with self._database.read() as connection:
            return reading.read_latents(connection, ids)

    def episodes(self, ids: Iterable[int]) -> dict[int, tuple[int, ...]]:
        """The chunks of each one's episode, itself among them, by ascending id.

        An episode is a run of chunks of one scope that were said in one go about one thing; see
        `agentmem_storage.episodes`. Chunks that were written before there were episodes are alone.

        Raises:
            UnknownIdError: No chunk has one of the ids.
        """
        with self._database.read() as connection:
            return reading.episodes(connection, ids)

    def search_vectors(
        self, key: NDArray[np.float32], k: int, selection: Selection = EVERYTHING
    ) -> Ranked:
        """Find the k selected chunks whose keys are nearest; a score is the cosine, -1 to 1.

        Args:
            key: float32 array of shape (K,), not zero; only its direction counts.
            k: How many at most, 1 or more.
            selection: The only chunks to consider; chosen before the search, not after it.

        Raises:
            InputError: The key has another shape, or k is below 1.
            FilterError: The selection's filter has a wrong shape.
        """
        _check_k(k)
        query = _unit(key, self.key_dims)
        with self._database.read() as connection:
            among = None
            if not selection.everything:
                among = reading.selected_ids(connection, chosen(selection))
            found = self._index.search(connection, query, k, among)
        self._index.save_if_due()
        return found

    def search_terms(self, query: str, k: int, selection: Selection = EVERYTHING) -> Ranked:
        """Find the k selected chunks that fit a query's words best.

        Args:
            query: Any string; one without words finds nothing.
            k: How many at most, 1 or more.
            selection: The only chunks to consider; chosen before the ranking, not after it.

        Returns:
            Ids and scores: BM25 over all chunks of the selection's scope, times how much of the
            query a chunk has; above 0, higher is better, without an upper bound. Selections of
            one scope give a chunk the same score. Of a selection in which very many chunks have
            a word of the query, only those with the rarer ones are found; see
            `agentmem_storage.sql.terms`.

        Raises:
            InputError: k is below 1.
            FilterError: The selection's filter has a wrong shape.
        """
        _check_k(k)
        scope = Selection(scope=selection.scope)
        within = chosen(scope)
        among = within if selection == scope else chosen(selection)
        with self._database.read() as connection:
            return terms.search(connection, query, k, among, within)

    def update_source(
        self,
        source_id: int,
        *,
        metadata: Mapping[str, Any] | Unset = UNSET,
        created_at: datetime | Unset = UNSET,
        title: str | None | Unset = UNSET,
    ) -> SourceRecord:
        """Change what is given of a source; the rest stays.

        Raises:
            UnknownIdError: No source has that id.
            InputError: Something cannot be stored; nothing was written.
        """
        values: dict[str, Any] = {}
        if not isinstance(metadata, Unset):
            values["metadata"] = metadata_json(metadata)
        if not isinstance(created_at, Unset):
            values["created_at"] = to_micros(created_at, "created_at")
        if not isinstance(title, Unset):
            values["title"] = storable(title, "title")
        with self._database.write() as connection:
            writing.update_source(connection, as_id(source_id), values)
            return reading.read_sources(connection, [source_id])[0]

    def replace_source(
        self, source_id: int, new: NewSource, old_terms: Mapping[int, str]
    ) -> Written:
        """Give a source another content; it keeps its id and scope, its chunks get new ids.

        Nothing of the old content is left in the files, as after `forget`.

        Args:
            source_id: The source.
            new: What it is to be from now on.
            old_terms: By id of the old chunks, the text that the lexical index was given for
                each. Where one lacks, `terms_stale` is true afterwards.

        Returns:
            Its new chunks. If another source of the scope has the content already, that one, with
            ``duplicate`` set, and nothing was changed.

        Raises:
            UnknownIdError: No source has that id.
            InputError: Something cannot be stored; nothing was written.
        """
        rows = make_rows(new, self.key_dims)
        with self._database.write() as connection:
            written = writing.replace(connection, as_id(source_id), rows, old_terms)
            if not written.duplicate:
                self._index.drop_files()
        self._purge()
        return written

    def forget(self, ids: Iterable[int], terms: Mapping[int, str]) -> Forgotten:
        """Delete chunks so that no byte of them is left in any file of the store.

        Sources that have no chunk left go too, with their metadata, and so do scopes.

        Args:
            ids: Chunks; those that are not there are ignored.
            terms: By id, the text that the lexical index was given for each. If one cannot be told
                any more, leave it out and call `rebuild_terms` soon after.

        Returns:
            What was taken away, and whether the terms are to be rebuilt.
        """
        with self._database.write() as connection:
            chunks, sources, stale = writing.forget(connection, [as_id(one) for one in ids], terms)
            if chunks:
                self._index.drop_files()
        purged = self._purge()
        return Forgotten(chunks, sources, terms_stale=stale, purged=purged)

    @property
    def terms_stale(self) -> bool:
        """Whether the lexical index holds terms of chunks that are gone, until it is rebuilt."""
        return self._flag("terms_stale") != 0

    def rebuild_terms(self, texts: Iterable[tuple[int, str]]) -> NDArray[np.int64]:
        """Make the lexical index again.

        Args:
            texts: Chunk ids, each with the text it is to be found by. All are taken in before the
                store is locked, so they may be read from it meanwhile.

        Returns:
            Ids of chunks for which there was no text, int64 of shape (n,): no word finds them now.
            If there are any, because they were added meanwhile, call this again with all texts.
        """
        given = dict(texts)
        with self._database.write() as connection:
            left = writing.rebuild_terms(connection, given)
        self._purge()
        return np.array(left, dtype=np.int64)

    def rebuild_index(self) -> None:
        """Make the search index again from the keys in the rows, and save it."""
        self._index.rebuild()

    def check(self) -> Iterator[Problem]:
        """Look for damage: file structure, checksums, spans, missing terms; changes nothing.

        No transaction stays open between two problems.
        """
        return checking.check(self._database)

    def stats(self) -> StoreStats:
        """Sums over the whole store."""
        with self._database.read() as connection:
            return counting.stats(connection, self._file_bytes(connection))

    def sums(self, selection: Selection = EVERYTHING) -> SelectionSums:
        """Sums over the selected chunks, without reading them.

        Raises:
            FilterError: The selection's filter has a wrong shape.
        """
        with self._database.read() as connection:
            return counting.sums(connection, chosen(selection))

    def scopes(self) -> list[ScopeStats]:
        """Every scope with its numbers of sources and chunks, in the order of first use."""
        with self._database.read() as connection:
            return counting.scope_list(connection)

    def _flag(self, name: str) -> int:
        with self._database.read() as connection:
            return int(connection.scalar(select(meta.c[name])) or 0)

    def _purge(self, *, wait: bool = True) -> bool:
        """Make the files forget what the rows have forgotten; see `Database.purge`."""
        noted = self._flag("unpurged")
        if not noted:
            return True
        if not self._database.purge(wait=wait):
            return False
        with self._database.write() as connection:
            connection.execute(update(meta).where(meta.c.unpurged == noted).values(unpurged=0))
        self._index.save()
        return True

    def _file_bytes(self, connection: Connection) -> int:
        path, cache = self._database.place.path, self._database.place.cache
        if path is None:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            return int(pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one())
        files = [path, *(path.with_name(f"{path.name}-{end}") for end in ("wal", "shm"))]
        if cache is not None and cache.is_dir():
            files += sorted(cache.iterdir())
        return sum(_size(file) for file in files)


def _check_k(k: int) -> None:
    if k < 1:
        raise InputError(f"k must be 1 or more, got {k!r}")


def _unit(key: NDArray[np.float32], key_dims: int) -> NDArray[np.float32]:
    if key.shape != (key_dims,):
        raise InputError(f"a key of this store has shape {(key_dims,)}, got {key.shape}")
    wide = key.astype(np.float64)
    norm = float(np.sqrt((wide * wide).sum()))
    if not 0.0 < norm < float("inf"):
        raise InputError("a key must be finite and not zero")
    return (wide / norm).astype(np.float32)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
