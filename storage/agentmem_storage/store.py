"""`Store`: durable memories in SQLite or PostgreSQL, one transaction per call."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar, get_args

from agentmem_storage.encryption.master import Key
from agentmem_storage.errors import InputError, StoreNotFoundError
from agentmem_storage.methods.adding import Adding
from agentmem_storage.methods.archiving import Archiving
from agentmem_storage.methods.auditing import Auditing
from agentmem_storage.methods.counting import Counting
from agentmem_storage.methods.editing import Editing
from agentmem_storage.methods.forgetting import Forgetting
from agentmem_storage.methods.keeping import Keeping
from agentmem_storage.methods.linking import Linking
from agentmem_storage.methods.listing import Listing
from agentmem_storage.methods.maintenance import Maintenance
from agentmem_storage.methods.reading import Reading
from agentmem_storage.methods.rebinding import Rebinding
from agentmem_storage.numbers import as_timeout
from agentmem_storage.records import ModelBinding, Purging
from agentmem_storage.shield import raise_if_abandoned, shielded
from agentmem_storage.snapshot import Snapshot
from agentmem_storage.sql.connection.identity import prepare, read_binding
from agentmem_storage.sql.opening import open_database
from agentmem_storage.sync.opening import check_index
from agentmem_storage.timestamps import utc_now

# Some 22,000 tokens of a reader whose language model has 30 layers of 3 x 64 dims.
STATES_BYTES = 256 * 2**20

T = TypeVar("T")


class Store(
    Adding,
    Linking,
    Editing,
    Forgetting,
    Listing,
    Counting,
    Keeping,
    Archiving,
    Auditing,
    Maintenance,
    Rebinding,
    Reading,
):
    """Memories in SQLite or PostgreSQL with a vector index; use `Store.open` to create one.

    Safe to use from several threads, and from several processes on the same files or server. K is
    the number of dims of the store's embeddings. Every method but `close` may raise StoreBusyError
    if others keep the store locked, and StoreError if its files are damaged, its server is gone or
    it is closed; every method that writes may raise StoreUnwritableError, and has then changed
    nothing. The methods are in the classes that it inherits from, each in a file of its own.

    Attributes:
        location: The location as it was given.
        store_id: Unique id of the store, 32 hex digits.
        model: Fingerprint of the model bundle it is bound to.
        embedding_dims: K.
    """

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
        index: str = "auto",
        states_bytes: int = STATES_BYTES,
        purge: Purging = "now",
        key: Key | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> Self:
        """Open a store, creating it if necessary.

        Args:
            location: A folder; ":memory:"; or a SQLAlchemy URL such as "sqlite:///notes.db" or
                "postgresql://ana@db.example.org/notes".
            model: Fingerprint of the model bundle that makes the latents and embeddings.
            embedding_dims: K of that bundle.
            latents: Fingerprint of what latents depend on alone, which tells a store that only
                needs other embeddings; None if it is not known.
            create: Whether to create the store if it does not exist.
            timeout_s: How long to wait for other writers, in seconds.
            index: What searches vectors: "faiss", "exact", or "auto": FAISS if installed; or a
                Milvus, see `agentmem_storage.index.milvus`: "milvus+" and the address of a server,
                or the path of a file of Milvus Lite.
            states_bytes: The most that is kept of readers' states, beside the store's own files;
                0 keeps none.
            purge: When the bytes of deleted rows are removed from the files: before a method that
                deletes returns, and now those that are left; or by `purge` alone. In PostgreSQL,
                the tables are vacuumed then.
            key: The master key of an encrypted store: 32 bytes, the path of a file with nothing
                else in it, or a function that returns them. A new store is encrypted if one is
                given; see `agentmem_storage.encryption`.
            clock: Returns the current time, with a zone: when something is added or expires.

        Raises:
            StoreNotFoundError: There is no store and ``create`` is False.
            NotAStoreError: The location holds something else.
            IncompatibleModelError: The store is bound to another model bundle.
            SchemaVersionError: The store was written by a newer agentmem.
            StoreUnwritableError: It cannot be created or migrated.
            MissingExtraError: What the index needs is not installed; or ``cryptography``, which
                encryption needs; or ``psycopg``, which stores in PostgreSQL need.
            StoreKeyError: The store is encrypted, and cannot be decrypted with the key; or it has
                none.
            InputError: ``timeout_s`` is negative or infinite, ``states_bytes`` is negative,
                ``purge`` is neither of the two, ``index`` is none, or a key is given for a store
                that is not encrypted; or the index is a Milvus, and the store is encrypted or in
                memory.
        """
        timeout_s = as_timeout(timeout_s)
        if purge not in get_args(Purging):
            raise InputError(f"purge must be 'now' or 'later', got {purge!r:.100}")
        if states_bytes < 0:
            raise InputError(f"states_bytes must be 0 or more, got {states_bytes!r}")
        check_index(index, key)
        database = open_database(location, key, create=create, timeout_s=timeout_s)
        try:
            identity = prepare(database, ModelBinding(model, embedding_dims, latents))
            store = cls(
                database,
                identity,
                index,
                states_bytes=states_bytes,
                timeout_s=timeout_s,
                purge=purge,
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
    def binding(
        location: str | os.PathLike[str], *, timeout_s: float = 30.0, key: Key | None = None
    ) -> ModelBinding:
        """The models that a store is bound to; nothing in it is changed.

        Raises:
            StoreNotFoundError: There is no store.
            NotAStoreError: The location holds something else.
            SchemaVersionError: The store was written by a newer agentmem.
            StoreKeyError: The store is encrypted, and cannot be decrypted with the key.
        """
        database = open_database(location, key, create=False, timeout_s=as_timeout(timeout_s))
        try:
            binding = read_binding(database)
        finally:
            database.close()
        if binding is None:
            label = database.location.label
            raise StoreNotFoundError(f"the store at {label!r} is empty: it has no model yet")
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
        self._index.close()
        self._states.close()
        self._database.close()

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
            torn = self._database.torn(connection)
            one = Snapshot(
                connection, self._index, self.embedding_dims, self._now(), self._word_counts, torn
            )
            made = read(one)
        if one.searched:
            self._index.save_if_due()
        return made
