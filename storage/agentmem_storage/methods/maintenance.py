"""`Maintenance`: the methods of a store that copy, check, repair and rebuild it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.encryption.master import Key
from agentmem_storage.errors import CorruptRecordError, StoreError
from agentmem_storage.methods.base import StoreBase
from agentmem_storage.records import (
    ANY_SCOPE,
    Copied,
    ModelBinding,
    Problem,
    Quarantined,
    Repaired,
    Scope,
)
from agentmem_storage.shield import shielded, shielded_steps
from agentmem_storage.sql.copies.backup import back_up, copyable
from agentmem_storage.sql.integrity import check, repair
from agentmem_storage.sql.integrity.left_out import is_left_out, is_source_left_out
from agentmem_storage.sql.lexical.lexicon import IndexedWords
from agentmem_storage.sql.logs import quarantine
from agentmem_storage.sql.schema.rows import check_scope, embedding_blob
from agentmem_storage.sql.writing import derived


class Maintenance(StoreBase):
    """Damage is found by `check`, and mended or taken out of use by `repair`."""

    @shielded
    def backup(
        self,
        target: str | os.PathLike[str],
        on_progress: Callable[[int, int], object] | None = None,
        *,
        keys: bool = False,
    ) -> Copied:
        """Copy the store, in the state it has now, while others read and write it.

        Args:
            target: A new or an empty folder. If the copy fails, it is left as it was.
            on_progress: Called with the number of pages copied so far and the total.
            keys: Whether to copy the key ring of an encrypted store too. What is destroyed in the
                store's is then still in the copy.

        Raises:
            InputError: The target is not a folder, or something is in it; or the store is in
                PostgreSQL.
            StoreUnwritableError: It cannot be written.
        """
        database = copyable(self._database)
        # A copy has the pages of the files, with what is left in them of deleted rows.
        self._purged(wait=True)
        return back_up(database, target, on_progress, keys=keys)

    @shielded
    def change_key(self, key: Key) -> None:
        """Give an encrypted store another master key; what is encrypted stays as it is.

        The data keys in its key ring are wrapped by the new one, all in one transaction. Whoever
        else has the store open is refused from then on, with WrongKeyError.

        Args:
            key: As for `agentmem_storage.store.Store.open`.

        Raises:
            InputError: The store is not encrypted, or has that key; or the key file is in its
                folder.
            StoreKeyError: It is no key; or another process has changed the key; or the key ring is
                missing or damaged.
        """
        self._database.change_key(key)

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
    def check_present(self, *, id: int | None = None, source_id: int | None = None) -> None:
        """Refuse an id that a memory or a message has which is in no result, as it is damaged.

        Args:
            id: Of a memory, of which nothing was found in its scope.
            source_id: Likewise of a message or document.

        Raises:
            CorruptRecordError: Its row, or that of its message or scope, is not what was encrypted
                there.
        """
        with self._database.read() as connection:
            if id is not None and is_left_out(self._database, connection, id):
                raise CorruptRecordError(_damaged(f"memory {id}"), id=id)
            if source_id is not None and is_source_left_out(self._database, connection, source_id):
                raise CorruptRecordError(_damaged(f"message or document {source_id}"))

    @shielded
    def repair(self, problems: Sequence[Problem]) -> Repaired:
        """Mend what can be made again, and take out of use what cannot, in one transaction.

        Rows of an encrypted store that cannot be decrypted are deleted, for nothing can be read of
        them. What is taken out of use is in no result any more. It is kept, and listed by
        `quarantined`, until it is forgotten. The caller makes again what takes a model: the
        embeddings of the chunks that the result names, with `replace_embeddings`, and the lexical
        index, if `terms_stale` is true afterwards.

        Args:
            problems: From `check`, and what the caller has found by decoding.
        """
        rebuilt = []
        if any(one.repair == "file" for one in problems):
            # By itself, for it fails where pages are torn, and then the rest can still be mended.
            with suppress(StoreError), self._database.write() as connection:
                self._database.rebuild_indexes(connection)
                rebuilt.append("the indexes of the database")
        with self._database.write() as connection:
            done = repair.repair(connection, problems, self._now())
            self._index.drop_files()
        self._database.drop_faults()
        self._database.renew()
        self._rebind(ModelBinding(self.model, self.embedding_dims))
        self._purge()
        return replace(done, rebuilt=(*rebuilt, *done.rebuilt))

    @shielded
    def purge(self) -> bool:
        """Remove the bytes of deleted rows from the files, if there may be any.

        Returns:
            Whether it was done; if not, another process was reading an older state, the disk is
            full, or a server cannot be reached.
        """
        # A process that opens the store with another index purges the files, and nothing else.
        return self._index.erase() and self._purged(wait=True)

    @shielded
    def quarantined(self, scope: Scope = ANY_SCOPE) -> list[Quarantined]:
        """What was taken out of use in a scope, by id."""
        with self._database.read() as connection:
            return quarantine.listed(connection, check_scope(scope))

    @shielded
    def replace_embeddings(self, new: Mapping[int, NDArray[np.float32]]) -> None:
        """Give chunks other embeddings, those that their model makes; ids that are gone are left.

        Raises:
            InputError: One has not the shape (K,), or not the norm 1.
        """
        blobs = {id: embedding_blob(one, self.embedding_dims) for id, one in new.items()}
        with self._database.write() as connection:
            derived.replace_embeddings(connection, blobs)
            self._index.drop_files()
        self._rebind(ModelBinding(self.model, self.embedding_dims))

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
            left = derived.rebuild_terms(connection, given, keep=keep)
        self._purge()
        return np.array(left, dtype=np.int64)

    @shielded
    def indexed_words(self) -> IndexedWords:
        """The words in the lexical index, to be compared with texts; takes one scan of it."""
        with self._database.read() as connection:
            return IndexedWords(connection)

    @shielded
    def load_index(self) -> None:
        """Load the vector index now; otherwise the first search does."""
        self._index.load()

    @shielded
    def rebuild_index(self) -> None:
        """Rebuild the vector index from the embeddings in the rows, and save it."""
        self._index.rebuild()


def _damaged(what: str) -> str:
    return (
        f"{what} cannot be read: a row of it is not what was encrypted there; verify() tells "
        f"which, a backup has it as it was, and repair() deletes it"
    )
