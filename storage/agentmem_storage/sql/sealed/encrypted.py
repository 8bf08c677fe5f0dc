"""A database whose tables are in memory, and whose rows are sealed in a file.

To the rest of the package it is a database in memory, one transaction at a time; so searching,
filtering and checking are what they are elsewhere. Before each transaction the tables catch up with
the file, and a write is in the file before it is acknowledged. `agentmem_storage.sql.sealed.mirror`
keeps the two the same, `agentmem_storage.encryption` has the files.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from sqlalchemy import Connection, event, select
from sqlalchemy.pool import ConnectionPoolEntry

from agentmem_storage.encryption.file import EncryptedFile
from agentmem_storage.encryption.layout import Unread
from agentmem_storage.encryption.master import Key, read_master_key
from agentmem_storage.encryption.names import ENCRYPTED_NAME, RING_NAME
from agentmem_storage.encryption.ring import KeyRing
from agentmem_storage.encryption.transactions import Reader
from agentmem_storage.errors import (
    KeyRingError,
    StoreBusyError,
    StoreIncompleteError,
    StoreNotFoundError,
    StoreUnwritableError,
)
from agentmem_storage.shield import raise_if_abandoned
from agentmem_storage.sql.connection import statements
from agentmem_storage.sql.connection.database import Database
from agentmem_storage.sql.connection.location import Location, locate_encrypted
from agentmem_storage.sql.connection.sqlite_errors import translated, unwritable
from agentmem_storage.sql.connection.unsealed import Fault
from agentmem_storage.sql.lexical import indexed_texts
from agentmem_storage.sql.schema.tables import chunks, scopes, sources
from agentmem_storage.sql.sealed.mirror import Mirror, driver_connection

_TORN = select(chunks.c.id).where(
    chunks.c.source_id.not_in(select(sources.c.id)) | chunks.c.scope_id.not_in(select(scopes.c.id))
)

_log = logging.getLogger(__name__)


class EncryptedDatabase(Database):
    """An open encrypted database; safe to use from several threads.

    Args:
        location: In memory, with the path of the file.
        file: The file of sealed rows.
        timeout_s: How long to wait for other writers, in seconds.
    """

    file_name = ENCRYPTED_NAME
    count_memories = "SELECT count(*) FROM rows WHERE kind = 'chunks'"

    def __init__(self, location: Location, file: EncryptedFile, timeout_s: float) -> None:
        self._file = file
        self._mirror = Mirror(location.label)
        super().__init__(location, timeout_s)
        event.listen(self._engine, "connect", self._begin_anew)

    @classmethod
    def open_with_key(
        cls, location: str | os.PathLike[str], key: Key, *, create: bool, timeout_s: float
    ) -> Self:
        """Open an encrypted store, creating it if necessary.

        Raises:
            StoreNotFoundError: There is none and ``create`` is False.
            NotAStoreError: The location holds something else.
            InputError: It is no folder, or has a store that is not encrypted; or the key file is in
                it.
            StoreKeyError: It cannot be decrypted with the key.
            StoreIncompleteError: There is a key ring, and not the file that its keys are for.
            CorruptRecordError: The file says of itself what was not written.
            MissingExtraError: ``cryptography`` is not installed.
            StoreUnwritableError: It cannot be created.
            StoreBusyError: Another process kept it locked.
        """
        found = locate_encrypted(location, create=create)
        path, label = found.path, found.label
        assert path is not None
        master = read_master_key(key, path.parent)
        with translated(label):
            try:
                file = _open_files(path, label, master, create=create, timeout_s=timeout_s)
            except OSError as error:
                raise unwritable(error, label) from error
        database = cls(found, file, timeout_s)
        try:
            with database.read():
                pass
            database._drop_shredded()
        except BaseException:
            database.close()
            raise
        return database

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """See `Database.read`."""
        with self._taking_turn(), self._connected() as connection:
            with self._file.reading() as reader:
                self._catch_up(connection, reader)
            with self._begun(connection, "BEGIN"):
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """See `Database.write`."""
        with self._taking_turn(), self._connected() as connection:
            own = driver_connection(connection)
            with self._file.writing() as writer:
                self._catch_up(connection, writer)
                with self._begun(connection, "BEGIN IMMEDIATE"):
                    yield connection
                    raise_if_abandoned()
                    self._check_files()
                    # The file first: if this process dies before the tables have it, nothing is
                    # lost, and if it fails, they keep their state.
                    version = self._mirror.write_back(own, writer)
            # Not acknowledged before this: it may have been written to a file that is gone.
            self._check_files()
            if version is not None:
                self._mirror.seen(own, version)
            self._mirror.watch(own)

    @contextmanager
    def stored(self) -> Iterator[sqlite3.Connection]:
        """See `Database.stored`."""
        with self._taking_turn(), self._connected(), self._file.reading() as reader:
            reader.version()  # a transaction sees the state at its first read
            yield reader.connection

    def faults(self) -> Iterator[Fault]:
        """What is wrong with the files: their structure, rows and keys that are not as sealed."""
        unread = Unread()
        missing: list[Fault] = []
        with self._taking_turn(), self._connected(), self._file.reading() as reader:
            found = reader.connection.execute("PRAGMA integrity_check").fetchall()
            for _ in reader.all_rows(unread):
                raise_if_abandoned()
            misowned = reader.misowned()
            try:
                unused, used = reader.damaged_keys()
            except KeyRingError as error:
                unused, used = [], []
                missing = [Fault(None, str(error))]
        yield from (Fault(None, f"{ENCRYPTED_NAME}: {one}") for (one,) in found if one != "ok")
        yield from missing
        for kind, id in sorted(unread.damaged, key=str):
            yield Fault(
                id if kind == "chunks" and isinstance(id, int) else None,
                f"row {id} of {kind!r} is not what was encrypted there: it was left out",
            )
        for kind, id in sorted(misowned, key=str):
            yield Fault(
                None, f"{ENCRYPTED_NAME}: it does not say which key row {id} of {kind!r} has"
            )
        for key_id in unused:
            yield Fault(None, f"{RING_NAME}: key {key_id}, of which nothing is left, was altered")
        for key_id in used:
            yield Fault(None, f"{RING_NAME}: key {key_id} was altered: put back a copy of the file")
        if unread.altered and not unread.damaged:
            yield Fault(None, f"{ENCRYPTED_NAME}: rows were taken out, or older ones put back")

    def drop_faults(self) -> None:
        """See `Database.drop_faults`: rows that cannot be decrypted are deleted.

        Where it is not said which key a scope has, its rows tell. Damaged keys of which nothing is
        left are destroyed.
        """
        with self._taking_turn(), self._connected() as connection:
            with self._file.writing() as writer:
                self._catch_up(connection, writer)
                writer.destroy_damaged_keys()
                unread = self._mirror.unread
                if not unread.damaged and not unread.altered and not writer.misowned():
                    return
                writer.mend_owners()
                for place in sorted(unread.damaged, key=str):
                    writer.remove(*place)
                writer.count_again()
                self._mirror.accept(writer.commit(writer.state.steps))

    def torn(self, connection: Connection) -> frozenset[int]:
        """See `Database.torn`; where rows are left out, those that belong to them are not."""
        if not self.has_gaps():
            return frozenset()
        return frozenset(connection.execute(_TORN).scalars())

    def left_out(self, kind: str) -> frozenset[int]:
        """See `Database.left_out`."""
        damaged = self._mirror.unread.damaged
        return frozenset(id for one, id in damaged if one == kind and isinstance(id, int))

    def has_gaps(self) -> bool:
        """See `Database.has_gaps`."""
        return bool(self._mirror.unread.damaged) or self._mirror.unread.altered

    @property
    def key_ring(self) -> Path:
        """See `Database.key_ring`."""
        return self._file.ring.path

    def change_key(self, key: Key) -> None:
        """See `Database.change_key`."""
        master = read_master_key(key, self.key_ring.parent)
        with self._taking_turn(), self._connected(), self._file.writing() as writer:
            self._file.ring.rewrap(master)
            try:
                # A commit of nothing: others that see it look at the ring.
                writer.commit(writer.state.steps)
            except sqlite3.Error as error:
                _log.warning(
                    "the key of the store at %r was changed; processes that have it open will only "
                    "notice when they need the key: %s",
                    *(self.location.label, error),
                )

    def copy_keys(self, folder: Path) -> None:
        """See `Database.copy_keys`."""
        with self._taking_turn(), self._connected():
            self._file.ring.copy_to(folder / RING_NAME)

    def purge(self, *, wait: bool = True) -> bool:
        """See `Database.purge`; destroys the keys that nothing is left of, too."""
        statements.drop_quoting(self._engine)
        try:
            with self._taking_turn(), self._connected():
                self._file.purge(wait=wait)
        except (StoreBusyError, StoreUnwritableError, KeyRingError) as error:
            _log.warning("bytes of forgotten memories remain in the files for now: %s", error)
            return False
        return True

    def close(self) -> None:
        """See `Database.close`."""
        super().close()
        self._file.disconnect()

    def before_fork(self) -> None:
        """See `Database.before_fork`."""
        super().before_fork()
        self._file.disconnect()

    def after_fork(self, *, intact: bool) -> None:
        """See `Database.after_fork`."""
        super().after_fork(intact=intact)
        self._file.abandon_connection()

    def _drop_shredded(self) -> None:
        """Remove what is left of shredded rows, in a backup that was put back."""
        if not self._mirror.unread.shredded:
            return
        try:
            with self.write() as connection:
                self._mirror.drop_traces(connection)
        except StoreUnwritableError:  # only in the tables, then
            with self._taking_turn(), self._connected() as connection:
                with self._begun(connection, "BEGIN"):
                    self._mirror.drop_traces(connection)

    def _begin_anew(self, connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
        """With each connection, of which there is one: its tables are empty."""
        self._mirror = Mirror(self.location.label)
        indexed_texts.keep_from_now_on(connection, record.info)

    def _catch_up(self, connection: Connection, reader: Reader) -> None:
        if not self._mirror.is_behind(reader):
            return
        # Of a ring that is missing or damaged, only what needs it must tell.
        with suppress(KeyRingError):
            self._file.ring.require_own()
        own = driver_connection(connection)
        # What is in the file belongs together, in whatever order it is read. This has no effect
        # inside of a transaction.
        own.execute("PRAGMA foreign_keys = OFF")
        try:
            with self._transaction(connection, "BEGIN"):
                self._mirror.catch_up(connection, reader)
        finally:
            own.execute("PRAGMA foreign_keys = ON")
        self._mirror.watch(own)


def _open_files(
    path: Path, label: str, master: bytes, *, create: bool, timeout_s: float
) -> EncryptedFile:
    """Open the two files of a store, making those of a new one."""
    ring_path = path.with_name(RING_NAME)
    if _is_new(path, timeout_s):
        if not create and not ring_path.exists():
            raise StoreNotFoundError(f"there is no store at {label!r}")
        ring = (KeyRing.make if create else KeyRing)(ring_path, label, master, timeout_s)
        if not ring.has_scopes:
            if not create:
                raise StoreNotFoundError(f"there is no store at {label!r}")
            return EncryptedFile.make(path, label, ring, timeout_s)
        # Looked at again: another opener may have made it since, and written to it.
        if _is_new(path, timeout_s):
            raise StoreIncompleteError(
                f"{path.name} of the store at {label!r} is missing or empty, and its key ring "
                f"{ring_path.name} has keys of what was in it: put {path.name} back, from a backup "
                f"if there is nothing else; or if it is given up, delete {ring_path.name}. Nothing "
                f"was changed"
            )
    else:
        ring = KeyRing(ring_path, label, master, timeout_s)
    file = EncryptedFile(path, label, ring, timeout_s)
    file.require_own()
    return file


def _is_new(path: Path, timeout_s: float) -> bool:
    return not path.exists() or EncryptedFile.is_empty(path, timeout_s)
