"""`Store`: durable memories in SQLite, one transaction per call."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select, update

from agentmem_storage.archive.loading import Loaded, Loading, Ready
from agentmem_storage.archive.records import ArchivedSource
from agentmem_storage.disk import file_bytes
from agentmem_storage.errors import (
    ChangedError,
    InputError,
    StoreError,
    StoreNotFoundError,
    StoreUnwritableError,
    UnknownIdError,
)
from agentmem_storage.index import IndexKind
from agentmem_storage.metadata import metadata_json
from agentmem_storage.numbers import as_timeout
from agentmem_storage.reading import Reading
from agentmem_storage.rebinding import Rebinding
from agentmem_storage.records import (
    ANY_SCOPE,
    EVERYTHING,
    UNSET,
    ChunkRecord,
    Copied,
    Exported,
    Forgotten,
    KeptStates,
    Link,
    ModelBinding,
    NewSource,
    NewStates,
    Page,
    Problem,
    Quarantined,
    Repaired,
    Scope,
    ScopeStats,
    Selection,
    SelectionSums,
    SourceKey,
    SourceRecord,
    StoreStats,
    Unset,
    Written,
)
from agentmem_storage.shield import raise_if_abandoned, shielded, shielded_steps
from agentmem_storage.snapshot import Snapshot
from agentmem_storage.sql import (
    check,
    duplicates,
    expiry,
    links,
    loading,
    quarantine,
    read,
    repair,
    totals,
    write,
)
from agentmem_storage.sql.archive_checks import archived_records
from agentmem_storage.sql.backup import back_up
from agentmem_storage.sql.database import Database
from agentmem_storage.sql.export import export
from agentmem_storage.sql.filters import selects_everything
from agentmem_storage.sql.identity import Identity, prepare, read_binding
from agentmem_storage.sql.lexicon import IndexedWords
from agentmem_storage.sql.location import locate_store
from agentmem_storage.sql.rows import check_scope, embedding_blob, make_rows, storable
from agentmem_storage.sql.selection import as_id, selected
from agentmem_storage.sql.state import list_ids
from agentmem_storage.sql.tables import chunks, meta
from agentmem_storage.states import StatesSync
from agentmem_storage.sync import IndexSync
from agentmem_storage.timestamps import to_micros, utc_now

# Some 22,000 tokens of a reader whose language model has 30 layers of 3 x 64 dims.
STATES_BYTES = 256 * 2**20

T = TypeVar("T")


class Store(Reading, Rebinding):
    """Memories in SQLite with a vector index next to it; use `Store.open` to create one.

    Safe to use from several threads and from several processes on the same files. K is the number
    of dims of the store's embeddings. Every method but `close` may raise StoreBusyError if others
    keep the store locked, and StoreError if its files are damaged or it is closed; every method
    that writes may raise StoreUnwritableError, and has then changed nothing.

    Attributes:
        location: The location as it was given.
        store_id: Unique id of the store, 32 hex digits.
        model: Fingerprint of the model bundle it is bound to.
        embedding_dims: K.
    """

    def __init__(
        self,
        database: Database,
        identity: Identity,
        index: IndexKind,
        *,
        states_bytes: int,
        timeout_s: float,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._kind = index
        self._clock = clock
        self.location = database.location.label
        self.store_id = identity.store_id
        self._bind(identity.binding)
        self._states = StatesSync(
            database, store_id=self.store_id, most_bytes=states_bytes, timeout_s=timeout_s
        )

    @classmethod
    @shielded
    def open(
        cls,
        location: str | os.PathLike[str],
        *,
        model: str,
        embedding_dims: int,
        latents: str | None = None,
        create: bool = True,
        timeout_s: float = 30.0,
        index: IndexKind = "auto",
        states_bytes: int = STATES_BYTES,
        clock: Callable[[], datetime] = utc_now,
    ) -> Self:
        """Open a store, creating it if necessary.

        Args:
            location: A folder; ":memory:"; or a SQLAlchemy URL such as "sqlite:///notes.db".
            model: Fingerprint of the model bundle that makes the latents and embeddings.
            embedding_dims: K of that bundle.
            latents: Fingerprint of what latents depend on alone, which tells a store that only
                needs other embeddings; None if it is not known.
            create: Whether to create the store if it does not exist.
            timeout_s: How long to wait for other writers, in seconds.
            index: Backend of the vector search: "faiss", "exact", or "auto": FAISS if installed.
            states_bytes: The most that is kept of readers' states, beside the store's own files;
                0 keeps none.
            clock: Returns the current time, with a zone: when something is added or expires.

        Raises:
            StoreNotFoundError: There is no store and ``create`` is False.
            NotAStoreError: The location holds something else.
            IncompatibleModelError: The store is bound to another model bundle.
            SchemaVersionError: The store was written by a newer agentmem.
            StoreUnwritableError: It cannot be created or migrated.
            MissingExtraError: The requested backend is not installed.
            InputError: ``timeout_s`` is negative or infinite, or ``states_bytes`` is negative.
        """
        timeout_s = as_timeout(timeout_s)
        if states_bytes < 0:
            raise InputError(f"states_bytes must be 0 or more, got {states_bytes!r}")
        found = locate_store(location, create=create)
        database = Database.open(found, create=create, timeout_s=timeout_s)
        try:
            identity = prepare(database, ModelBinding(model, embedding_dims, latents))
            store = cls(
                database,
                identity,
                index,
                states_bytes=states_bytes,
                timeout_s=timeout_s,
                clock=clock,
            )
            # An earlier process may have died, or been blocked by others, before it purged.
            store._purge(wait=False)
            raise_if_abandoned()
            return store
        except BaseException:
            database.close()
            raise

    @staticmethod
    @shielded
    def binding(location: str | os.PathLike[str], *, timeout_s: float = 30.0) -> ModelBinding:
        """The models that a store is bound to; nothing in it is changed.

        Raises:
            StoreNotFoundError: There is no store.
            NotAStoreError: The location holds something else.
            SchemaVersionError: The store was written by a newer agentmem.
        """
        found = locate_store(location, create=False)
        database = Database.open(found, create=False, timeout_s=as_timeout(timeout_s))
        try:
            binding = read_binding(database)
        finally:
            database.close()
        if binding is None:
            raise StoreNotFoundError(f"the store at {found.label!r} is empty: it has no model yet")
        return binding

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

    @shielded
    def close(self) -> None:
        """Save the vector index and close the files; closing twice is harmless."""
        self._index.save()
        self._states.close()
        self._database.close()

    @shielded
    def add(
        self,
        new: Sequence[NewSource | SourceKey],
        scope: Scope | Sequence[Scope],
        old_terms: Mapping[int, str | None] = MappingProxyType({}),
        *,
        supersedes: int | None = None,
    ) -> list[Written]:
        """Write sources; when this returns, they are durable and visible to every process.

        A source that exactly its scope has already is not written again; the rules are in
        `agentmem_storage.sql.duplicates`. One with an external id that its scope has takes the
        place of what is there, and nothing of that remains in the files, as after `forget`.

        Args:
            new: The sources, in order. For those that `find` found, and that replace nothing, their
                keys are enough.
            scope: The scope of all of them, or one scope for each.
            old_terms: By chunk id, the text that was indexed for the chunks that are replaced. None
                where it can no longer be reconstructed: `terms_stale` is true afterwards.
            supersedes: Id of the source that the only one of them supersedes.

        Returns:
            The outcome for each source, in order.

        Raises:
            InputError: Something cannot be stored, or the source cannot supersede that other one;
                nothing was written.
            UnknownIdError: A source given by its key has been forgotten; nothing was written.
            ChangedError: What is to be replaced is not what `find` found, or that which is to be
                superseded is gone; nothing was written.
        """
        scopes = [scope] * len(new) if isinstance(scope, Scope) else scope
        rows = [
            one if isinstance(one, SourceKey) else make_rows(one, self.embedding_dims)
            for one in new
        ]
        by_scope: dict[Scope, list[int]] = {}
        for number, (own, _) in enumerate(zip(scopes, rows, strict=True)):
            by_scope.setdefault(check_scope(own), []).append(number)
        written: dict[int, Written] = {}
        if rows:
            with self._database.write() as connection:
                for own, numbers in by_scope.items():
                    part = [rows[number] for number in numbers]
                    done = write.add(
                        connection,
                        part,
                        own,
                        self._now(),
                        alone=len(rows) == 1,
                        old_terms=old_terms,
                    )
                    written.update(zip(numbers, done, strict=True))
                if supersedes is not None:
                    (only,) = written.values()
                    _supersede(connection, supersedes, only.source_id, self._now())
                if any(one.replaced for one in written.values()):
                    self._index.drop_files()
        if any(one.replaced for one in written.values()):
            self._purge()
        return [written[number] for number in range(len(rows))]

    @shielded
    def supersede(self, old: int, new: int) -> None:
        """State that one source supersedes another; again, it changes nothing.

        Args:
            old: Id of the source that is superseded.
            new: Id of the one that supersedes it.

        Raises:
            UnknownIdError: There is no such source.
            InputError: They are one source, or belong to different users or agents, or the old one
                supersedes the new one.
        """
        with self._database.write() as connection:
            links.state(connection, as_id(old), as_id(new), self._now())

    @shielded
    def separate(self, old: int, new: int) -> bool:
        """Delete the link that says that one source supersedes another; return whether there was.

        Args:
            old: As in `supersede`.
            new: Likewise.
        """
        with self._database.write() as connection:
            return links.remove(connection, as_id(old), as_id(new))

    @shielded
    def propose(self, found: Sequence[tuple[int, int, float]]) -> list[Link]:
        """Write that sources seem to supersede others, as candidates.

        Args:
            found: Ids of an old and of a new source, and a score, 0 to 1.

        Returns:
            The candidates that were written: not where the two are linked already or have an order
            by other links, one of them is gone, or they belong to different users or agents.
        """
        if not found:
            return []
        with self._database.write() as connection:
            return links.propose(connection, found, self._now())

    @shielded
    def find(
        self, keys: Sequence[SourceKey], scope: Scope, *, alone: bool = False
    ) -> list[Written | None]:
        """What `add` would find of new sources in exactly this scope; None for what is new.

        What would be replaced is found, too, with ``replaced`` set; what would live longer than
        before, with ``prolonged``.

        Args:
            keys: The new sources for this scope, in order.
            scope: The scope.
            alone: Whether `add` will be called with only one source, over all scopes.
        """
        check_scope(scope)
        with self._database.read() as connection:
            scope_id = read.scope_id_of(connection, scope)
            if scope_id is None:
                return [None] * len(keys)
            conversation, now = scope.session_id is not None, self._now()
            known = duplicates.find(
                connection, keys, scope_id, conversation=conversation, alone=alone, now=now
            )
            held = known.written(connection)
            return [None if id is None else held[id] for id in known.ids]

    @shielded
    def count(self, selection: Selection = EVERYTHING) -> int:
        """Number of selected chunks.

        Raises:
            FilterError: The selection's filter is malformed.
        """
        with self._database.read() as connection:
            now = self._expired_by(connection)
            return totals.count(connection, selected(selection, now=now))

    @staticmethod
    def selects_everything(where: Mapping[str, Any]) -> bool:
        """Whether a filter has no condition that a chunk could fail, such as ``{"and": []}``.

        Raises:
            FilterError: The filter is malformed.
        """
        return selects_everything(where)

    @shielded
    def snapshot(self, read: Callable[[Snapshot], T]) -> T:
        """Read several things of one state of the store, whatever others write meanwhile.

        ::

            found, rows = store.snapshot(lambda one: (one.count(), one.chunks([1, 2])))

        Args:
            read: Called once with the snapshot, which it must not use afterwards. It must not
                write to the store: one in memory would wait for itself. In the main thread it runs
                in another one, see `agentmem_storage.shield`.

        Returns:
            What ``read`` returns.
        """
        with self._database.read() as connection:
            one = Snapshot(connection, self._index, self.embedding_dims, self._now())
            made = read(one)
        if one.searched:
            self._index.save_if_due()
        return made

    @shielded_steps
    def iterate(
        self,
        selection: Selection = EVERYTHING,
        batch_size: int = 256,
        *,
        keep_damaged: bool = False,
        page: Page | None = None,
    ) -> Iterator[list[ChunkRecord]]:
        """Selected chunks by ascending id, in lists of up to ``batch_size``.

        No transaction stays open between two lists: the caller may write in between, and chunks
        added after the current position are included, unless ``page`` is given.

        Args:
            selection: Which chunks.
            batch_size: Maximum length of a list.
            keep_damaged: As in `chunks`.
            page: By source and position in it, so that a replaced source keeps its place, or a part
                of that; only chunks that exist when the first list is read, so that a caller who
                replaces each comes to an end.

        Raises:
            FilterError: The selection's filter is malformed.
            UnknownIdError: The chunk that the page follows is not in the selection's scope.
            CorruptRecordError: A row is damaged; the rows before it in its list are not
                returned.
        """
        if batch_size < 1:
            raise InputError(f"batch_size must be 1 or more, got {batch_size!r}")
        if page is not None:
            with self._database.read() as connection:
                now = self._expired_by(connection)
                placed = read.ids_in_place(connection, selection, page, now)
            for first in range(0, len(placed), batch_size):
                part = placed[first : first + batch_size]
                with self._database.read() as connection:
                    now = self._expired_by(connection)
                    records = read.selected_chunks(
                        connection, selection, part, now, keep_damaged=keep_damaged
                    )
                if records:
                    found = {record.id: record for record in records}
                    yield [found[id] for id in part if id in found]
            return
        last = 0
        # Listed once rather than for each list; then again, for what was added in the meantime.
        while (ids := self._ids_after(selection, last)).size:
            last = int(ids[-1])
            for first in range(0, ids.size, batch_size):
                part = ids[first : first + batch_size].tolist()
                with self._database.read() as connection:
                    now = self._expired_by(connection)
                    records = read.selected_chunks(
                        connection, selection, part, now, keep_damaged=keep_damaged
                    )
                if records:
                    yield records

    @shielded
    def update_source(
        self,
        source_id: int,
        *,
        metadata: Mapping[str, Any] | Unset = UNSET,
        created_at: datetime | Unset = UNSET,
        title: str | None | Unset = UNSET,
        expires_at: datetime | None | Unset = UNSET,
    ) -> SourceRecord:
        """Change the given fields of a source.

        Nothing of the old values remains in the files, as after `forget`; but of ``expires_at``.

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
        if not isinstance(expires_at, Unset):
            values["expires_at"] = (
                None if expires_at is None else to_micros(expires_at, "expires_at")
            )
        # Before the change too: a process that dies after it leaves nothing of the old values.
        old = self.sources([source_id])[0] if values.keys() & {"created_at", "title"} else None
        if old is not None:
            self._states.erase(old.chunk_ids)
        with self._database.write() as connection:
            write.update_source(connection, as_id(source_id), values)
            updated = read.read_sources(connection, [source_id])[0]
        if old is not None:
            self._states.erase(old.chunk_ids)
        self._purge()
        return updated

    @shielded
    def redate_source(
        self,
        expected: SourceRecord,
        created_at: datetime,
        *,
        metadata: Mapping[str, Any],
        key: SourceKey | None,
    ) -> Written:
        """Give a source a new time, and what it is recognized by from then on; its chunks stay.

        Args:
            expected: The source. If it is not equal to this any more, nothing is written.
            created_at: Its new time.
            metadata: Its new metadata.
            key: What it is recognized by; None: as before.

        Returns:
            The source; or, as in `replace_source`, another one that already has the key.

        Raises:
            UnknownIdError: It has been forgotten.
            ChangedError: It is not the expected one; nothing was written.
            InputError: Something cannot be stored; nothing was written.
        """
        values: dict[str, Any] = {
            "metadata": metadata_json(metadata),
            "created_at": to_micros(created_at, "created_at"),
        }
        self._states.erase(expected.chunk_ids)
        with self._database.write() as connection:
            write.require_unchanged(connection, expected)
            if key is not None:
                found = write.new_key(connection, expected.id, key)
                if isinstance(found, Written):
                    return found
                values |= found
            write.update_source(connection, expected.id, values)
        self._states.erase(expected.chunk_ids)
        self._purge()
        return Written(expected.id, expected.chunk_ids, duplicate=False)

    @shielded
    def replace_source(
        self,
        source_id: int,
        new: NewSource,
        old_terms: Mapping[int, str],
        *,
        expected: SourceRecord | None = None,
    ) -> Written:
        """Replace the content of a source; it keeps its id and scope, its chunks get new ids.

        Nothing of the old content remains in the files, as after `forget`.

        Args:
            source_id: The source.
            new: The new content.
            old_terms: By old chunk id, the text that was indexed for it. If one is missing,
                `terms_stale` is true afterwards.
            expected: What the new content was made from. If the source is no longer equal to it,
                nothing is written, so that no change of another writer is lost.

        Returns:
            The new chunks. If another source of the scope already has the content, and the new
            one's identity allows only one, that source, with ``duplicate`` set; nothing was changed
            then.

        Raises:
            UnknownIdError: No source has that id.
            ChangedError: The source is not the expected one; nothing was written.
            InputError: Something cannot be stored; nothing was written.
        """
        rows = make_rows(new, self.embedding_dims)
        with self._database.write() as connection:
            if expected is not None:
                write.require_unchanged(connection, expected)
            written = write.replace(connection, as_id(source_id), rows, old_terms)
            if not written.duplicate:
                self._index.drop_files()
        self._purge()
        return written

    @shielded
    def forget(
        self,
        chosen: Iterable[int] | Selection,
        terms: Mapping[int, str],
        *,
        seen: Container[int] | None = None,
    ) -> Forgotten:
        """Delete chunks so that no byte of them remains in any file of the store.

        Sources without remaining chunks are deleted too, with their metadata, and so are scopes.

        Args:
            chosen: Chunk ids, of which unknown ones are ignored; or a selection, which is made when
                the chunks are deleted, so that none escapes that was changed just before.
            terms: By chunk id, the text that was indexed for it. If one can no longer be
                reconstructed, leave it out and call `rebuild_terms` soon afterwards.
            seen: The ids for which ``terms`` was made. If others are selected by now, nothing is
                deleted.

        Returns:
            What was deleted, and whether the lexical index has to be rebuilt.

        Raises:
            UnknownIdError: An id of the selection is not in its scope; nothing was deleted.
            InputError: Several scopes have one of its external ids; nothing was deleted.
            ChangedError: Chunks are selected that were not seen; nothing was deleted.
            FilterError: The selection's filter is malformed.
        """
        if not isinstance(chosen, Selection):
            chosen = tuple(as_id(one) for one in chosen)
        try:
            done = self._forget(chosen, terms, seen)
        except StoreUnwritableError:
            # On a full disk, what can be spared makes room for what the deletion has to write.
            self._index.drop_files()
            self._database.empty_log()
            done = self._forget(chosen, terms, seen)
        return replace(done, purged=self._purge())

    @shielded
    def chosen(self, selection: Selection) -> tuple[int, ...]:
        """Ids of the chunks that `forget` would delete now, ascending.

        Raises:
            UnknownIdError: An id of the selection is not in its scope.
            InputError: Several scopes have one of its external ids.
            FilterError: The selection's filter is malformed.
        """
        with self._database.read() as connection:
            now = self._expired_by(connection)
            return tuple(write.choose(connection, selection, None, now))

    @property
    @shielded
    def keeps_states(self) -> bool:
        """Whether readers' states can be kept: it can be written, and ``states_bytes`` is not 0."""
        return self._states.keeps

    @shielded
    def find_states(self, reader: str, wanted: Mapping[int, bytes]) -> dict[int, bytes]:
        """The states that are kept of chunks; none where they cannot be read.

        Args:
            reader: Fingerprint of the reader that made them.
            wanted: By chunk id, the digest of what they must have been made of.

        Returns:
            By chunk id, the states as they were packed.
        """
        return self._states.find(reader, wanted)

    @shielded
    def held_states(self, reader: str, wanted: Mapping[int, bytes]) -> set[int]:
        """Ids of the chunks whose states `find_states` finds, unless these are damaged."""
        return self._states.held(reader, wanted)

    @shielded
    def keep_states(
        self, reader: str, made: Sequence[NewStates], *, evict: bool = True
    ) -> KeptStates:
        """Keep states that a reader has made of chunks, where that is possible.

        Args:
            reader: Fingerprint of the reader.
            made: The states.
            evict: Whether those that were used least recently are dropped where there is no room.
        """
        return self._states.keep(reader, made, evict=evict)

    @property
    @shielded
    def terms_stale(self) -> bool:
        """Whether the lexical index contains terms of deleted chunks and has to be rebuilt."""
        return self._flag("terms_stale") != 0

    @shielded
    def rebuild_terms(
        self, texts: Iterable[tuple[int, str | None]], *, keep: bool = False
    ) -> NDArray[np.int64]:
        """Rebuild the lexical index.

        ::

            while left.size:  # at most once: whatever is added from now on is indexed by itself
                left = store.rebuild_terms(texts_of(left), keep=True)

        Args:
            texts: Chunk ids, each with the text to index; None if it can no longer be
                reconstructed. All are consumed before the store is locked, so they may be read from
                it lazily.
            keep: Keep what is indexed, and only add what is missing.

        Returns:
            Ids of chunks that are missing from ``texts``, because they were added in the meantime,
            and from the index, int64 of shape (n,). Until they are given to another call,
            `terms_stale` is true, and lexical search does not find them.
        """
        given = dict(texts)
        with self._database.write() as connection:
            left = write.rebuild_terms(connection, given, keep=keep)
        self._purge()
        return np.array(left, dtype=np.int64)

    @shielded
    def backup(
        self,
        target: str | os.PathLike[str],
        on_progress: Callable[[int, int], object] | None = None,
    ) -> Copied:
        """Copy the store, in the state it has now, while others read and write it.

        Args:
            target: A new or an empty folder. If the copy fails, it is left as it was.
            on_progress: Called with the number of pages copied so far and the total.

        Raises:
            InputError: The target is not a folder, or something is in it.
            StoreUnwritableError: It cannot be written.
        """
        return back_up(self._database, target, on_progress)

    @shielded
    def export(
        self,
        target: str | os.PathLike[str],
        selection: Selection = EVERYTHING,
        *,
        without: Selection | None = None,
        latents: str,
        embedder: str,
        passphrase: str | None = None,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> Exported:
        """Write memories to an archive, in the state the store has now; others may go on writing.

        Args:
            target: A new file. If writing it fails, there is none.
            selection: Which chunks; their sources are written as wholes.
            without: Chunks whose sources are left out.
            latents: Fingerprint of what encoded the latents.
            embedder: Display name of what made the embeddings.
            passphrase: Encrypts the file; None: it is not encrypted.
            on_progress: Called with the number of chunks written so far and the total.

        Raises:
            InputError: There is something at the target, or the passphrase is empty.
            FilterError: A filter is malformed.
            CorruptRecordError: A source is damaged.
            StoreUnwritableError: The file cannot be written.
            MissingExtraError: A passphrase is given, and ``cryptography`` is not installed.
        """
        return export(
            self._database,
            ModelBinding(self.model, self.embedding_dims, latents),
            target,
            selection,
            without=without,
            embedder=embedder,
            passphrase=passphrase,
            now=self._now(),
            on_progress=on_progress,
        )

    @staticmethod
    def archived_records(source: ArchivedSource, embedding_dims: int) -> list[ChunkRecord]:
        """The chunks of a source of a file, checked apart from what their latents decode to.

        Args:
            source: The source.
            embedding_dims: K of the file.

        Returns:
            Records whose ids are 0.

        Raises:
            InputError: It has a value that cannot be stored.
            CorruptRecordError: A blob of it is damaged.
        """
        return archived_records(source, embedding_dims)

    @shielded
    def find_archived(self, ready: Sequence[Ready], done: Loading) -> list[bool]:
        """Which sources of a file the store has; the rules are in `agentmem_storage.sql.loading`.

        Args:
            ready: Sources of the file, in order, each already checked by `archived_records`.
            done: What was loaded of it before.
        """
        with self._database.read() as connection:
            return [
                id is not None for id in loading.match(connection, ready, done.used, self._now())
            ]

    @shielded
    def load(self, ready: Sequence[Ready], done: Loading) -> Loaded:
        """Write those sources of a file that the store does not have, all or none.

        Args:
            ready: As for `find_archived`; with terms, if it did not find them.
            done: As for `find_archived`; what is loaded now is added to it.

        Raises:
            InputError: Embeddings have another number of dims; nothing was written.
            UnknownIdError: A source without terms has been forgotten; nothing was written.
        """
        with self._database.write() as connection:
            loaded, more = loading.load(connection, ready, done, self._now())
        done.used |= more.used
        done.episodes |= more.episodes
        return loaded

    @shielded
    def load_links(self, found: Iterable[tuple[int, int, float | None, int]]) -> None:
        """Write the links of a file that the store does not have and does not contradict.

        Args:
            found: Of each, the ids of the old and of the new source, the score, and when it was
                made, in microseconds since 1970.
        """
        with self._database.write() as connection:
            loading.load_links(connection, found)

    @shielded
    def rebuild_index(self) -> None:
        """Rebuild the vector index from the embeddings in the rows, and save it."""
        self._index.rebuild()

    @shielded_steps
    def check(self, scope: Scope = ANY_SCOPE) -> Iterator[Problem]:
        """Look for damage: file structure, checksums, spans, missing terms; read-only.

        No transaction stays open between two problems.

        Args:
            scope: With an id, only rows of that scope are checked, and neither the structure of
                the file nor that of the lexical index.
        """
        return check.check(self._database, check_scope(scope))

    @shielded
    def repair(self, problems: Sequence[Problem]) -> Repaired:
        """Mend what can be made again, and take out of use what cannot, in one transaction.

        What is taken out of use is in no result any more. It is kept, and listed by `quarantined`,
        until it is forgotten. The caller makes again what takes a model: the embeddings of the
        chunks that the result names, with `replace_embeddings`, and the lexical index, if
        `terms_stale` is true afterwards.

        Args:
            problems: From `check`, and what the caller has found by decoding.
        """
        rebuilt = []
        if any(one.repair == "file" for one in problems):
            # By itself, for it fails where pages are torn, and then the rest can still be mended.
            with suppress(StoreError), self._database.write() as connection:
                connection.exec_driver_sql("REINDEX")
                rebuilt.append("the indexes of the database")
        with self._database.write() as connection:
            done = repair.repair(connection, problems, self._now())
            self._index.drop_files()
        self._database.renew()
        self._bind(ModelBinding(self.model, self.embedding_dims))
        self._purge()
        return replace(done, rebuilt=(*rebuilt, *done.rebuilt))

    @shielded
    def replace_embeddings(self, new: Mapping[int, NDArray[np.float32]]) -> None:
        """Give chunks other embeddings, those that their model makes; ids that are gone are left.

        Raises:
            InputError: One has not the shape (K,), or not the norm 1.
        """
        blobs = {id: embedding_blob(one, self.embedding_dims) for id, one in new.items()}
        with self._database.write() as connection:
            write.replace_embeddings(connection, blobs)
            self._index.drop_files()
        self._bind(ModelBinding(self.model, self.embedding_dims))

    @shielded
    def quarantined(self, scope: Scope = ANY_SCOPE) -> list[Quarantined]:
        """What was taken out of use in a scope, by id."""
        with self._database.read() as connection:
            return quarantine.listed(connection, check_scope(scope))

    @shielded
    def indexed_words(self) -> IndexedWords:
        """The words in the lexical index, to be compared with texts; takes one scan of it."""
        with self._database.read() as connection:
            return IndexedWords(connection)

    @shielded
    def stats(self, scope: Scope = ANY_SCOPE) -> StoreStats:
        """Totals of a scope, by default of the whole store."""
        whole = scope == ANY_SCOPE
        # Not inside the transaction, which those who keep states wait for.
        states_bytes = self._states.stored_bytes() if whole else None
        with self._database.read() as connection:
            file_bytes = self._file_bytes(connection) if whole else None
            return totals.stats(
                connection,
                scope,
                now=self._expired_by(connection),
                file_bytes=file_bytes,
                states_bytes=states_bytes,
            )

    @shielded
    def sums(self, selection: Selection = EVERYTHING) -> SelectionSums:
        """Totals of the selected chunks, computed without loading them.

        Raises:
            FilterError: The selection's filter is malformed.
        """
        with self._database.read() as connection:
            now = self._expired_by(connection)
            return totals.sums(connection, selected(selection, now=now))

    @shielded
    def scopes(self, scope: Scope = ANY_SCOPE) -> list[ScopeStats]:
        """The scopes within one, by default all, with what they have, in order of first use."""
        with self._database.read() as connection:
            return totals.scope_list(connection, scope, now=self._expired_by(connection))

    def _now(self) -> int:
        return to_micros(self._clock(), "the time of the clock")

    def _expired_by(self, connection: Connection) -> int | None:
        """The current time if something has expired by then."""
        return expiry.moment(connection, self._now())

    def _bind(self, binding: ModelBinding) -> None:
        self.model = binding.model
        self.embedding_dims = binding.embedding_dims
        self._database.bind(binding.model)
        self._index = IndexSync(
            self._database,
            store_id=self.store_id,
            model=self.model,
            dims=self.embedding_dims,
            kind=self._kind,
        )

    def _forget(
        self,
        chosen: Sequence[int] | Selection,
        terms: Mapping[int, str],
        seen: Container[int] | None,
    ) -> Forgotten:
        with self._database.write() as connection:
            if isinstance(chosen, Selection):
                chosen = write.choose(connection, chosen, seen, self._expired_by(connection))
            deleted, sources, stale = write.forget(connection, chosen, terms)
            if deleted:
                self._index.drop_files()
        return Forgotten(tuple(deleted), sources, terms_stale=stale, purged=False)

    def _ids_after(self, selection: Selection, last: int) -> NDArray[np.int64]:
        """Ids of the selected chunks above one, ascending."""
        with self._database.read() as connection:
            query = selected(selection, now=self._expired_by(connection))
            return list_ids(connection, query.where(chunks.c.id > last)).ids

    def _flag(self, name: str) -> int:
        with self._database.read() as connection:
            return int(connection.scalar(select(meta.c[name])) or 0)

    def _purge(self, *, wait: bool = True) -> bool:
        """Remove the bytes of deleted rows from the files; see `Database.purge`."""
        noted = self._flag("unpurged")
        if not noted:
            return True
        swept = self._states.sweep(wait=wait)
        if not self._database.purge(wait=wait) or not swept:
            return False
        with self._database.write() as connection:
            connection.execute(update(meta).where(meta.c.unpurged == noted).values(unpurged=0))
        self._index.save()
        return True

    def _file_bytes(self, connection: Connection) -> int:
        path, cache = self._database.location.path, self._database.location.cache
        if path is None:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            return int(pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one())
        return file_bytes(path, cache)


def _supersede(connection: Connection, old: int, new: int, now: int) -> None:
    try:
        links.state(connection, as_id(old), new, now)
    except UnknownIdError as error:
        raise ChangedError(
            f"source {old}, which was to be superseded, has been forgotten by another writer in "
            f"the meantime; nothing was written: add it without supersedes="
        ) from error
