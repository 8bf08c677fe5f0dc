"""The file of an encrypted store while it is open; see `agentmem_storage.encryption.layout`.

A rollback journal, and no write-ahead log: the file is whole by itself whenever nobody is writing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from agentmem_storage.disk import make_private_file
from agentmem_storage.encryption.layout import APPLICATION_ID, TABLES
from agentmem_storage.encryption.ring import KeyRing
from agentmem_storage.encryption.sealing import RowSeal
from agentmem_storage.encryption.transactions import Reader, Writer
from agentmem_storage.errors import KeyRingError, NotAStoreError

_PRAGMAS = (
    "PRAGMA secure_delete = ON",
    # A commit is on the disk, and its journal gone, before it is acknowledged.
    "PRAGMA synchronous = EXTRA",
    "PRAGMA trusted_schema = OFF",
)
_FOREIGN = "SELECT 1 FROM sqlite_master WHERE type IN ('trigger', 'view')"


class EncryptedFile:
    """An open file of sealed rows; for one thread at a time. Several processes may use the file.

    Args:
        path: The file; it exists.
        label: Names the store in errors.
        ring: The key ring of the store.
        timeout_s: How long to wait for other processes, in seconds.
    """

    def __init__(self, path: Path, label: str, ring: KeyRing, timeout_s: float) -> None:
        self.path = path
        self.ring = ring
        self._label = label
        self._timeout_s = timeout_s
        self._seal = RowSeal(ring)
        self._connection: sqlite3.Connection | None = None

    @classmethod
    def make(cls, path: Path, label: str, ring: KeyRing, timeout_s: float) -> EncryptedFile:
        """Open the file of a new store, creating it unless another process just has.

        Raises:
            OSError: It cannot be created.
        """
        make_private_file(path)
        file = cls(path, label, ring, timeout_s)
        with file._begun("BEGIN IMMEDIATE") as connection:
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
                for statement in TABLES:
                    connection.execute(statement)
                Writer.begin(connection, ring, file._seal, label)
        return file

    @staticmethod
    def is_empty(path: Path, timeout_s: float) -> bool:
        """Whether a file has no tables: another opener is creating it, or died creating it.

        Args:
            path: The file; it exists.
            timeout_s: How long to wait for other processes, in seconds.
        """
        with closing(_connect(path, timeout_s)) as connection:
            found = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return bool(found == (0,))

    def require_own(self) -> None:
        """Check that the file is what its name says, and belongs to the ring.

        Raises:
            NotAStoreError: It is something else.
            KeyRingError: It belongs to another ring.
            CorruptRecordError: What it says of itself was altered.
        """
        with self.reading() as reader:
            connection = reader.connection
            (mark,) = connection.execute("PRAGMA application_id").fetchone()
            if mark != APPLICATION_ID:
                raise self._not_own()
            self._require_no_trigger(connection)
            row = connection.execute("SELECT ring_id FROM state").fetchone()
            if row is not None and row[0] != self.ring.ring_id:
                raise KeyRingError(
                    f"{self.ring.path.name} at {self._label!r} is the key ring of another store: "
                    f"put that of this store back; nothing was changed"
                )
            _ = reader.state

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """A read transaction."""
        with self._begun("BEGIN") as connection:
            yield Reader(connection, self.ring, self._seal, self._label)

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """A write transaction; rolled back unless `Writer.commit` is called in the block.

        Raises:
            NotAStoreError: Somebody has added a trigger or a view.
        """
        with self._begun("BEGIN IMMEDIATE") as connection:
            self._require_no_trigger(connection)
            yield Writer(connection, self.ring, self._seal, self._label)

    def purge(self, *, wait: bool) -> None:
        """Destroy the keys that nothing is left of, and rewrite the file without removed rows.

        Args:
            wait: Whether to wait for other processes.
        """
        connection = self._opened()
        if not wait:
            connection.execute("PRAGMA busy_timeout = 0")
        try:
            self._destroy_doomed()
            # `secure_delete` does not reach what SQLite left behind when it moved rows.
            connection.execute("VACUUM")
        finally:
            connection.execute(f"PRAGMA busy_timeout = {round(self._timeout_s * 1000)}")

    def disconnect(self) -> None:
        """Close the connection; the next use opens one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def abandon_connection(self) -> None:
        """In a forked child: leave the connection to the parent, whose it is."""
        self._connection = None

    def _destroy_doomed(self) -> None:
        with self.writing() as writer:
            doomed = writer.doomed()
            if doomed:
                # Before it is noted as done: a process that dies in between does it again.
                self.ring.destroy(doomed)
                writer.connection.execute("DELETE FROM doomed")
                writer.connection.execute("COMMIT")
        for key_id in doomed:
            self._seal.drop(key_id)

    def _require_no_trigger(self, connection: sqlite3.Connection) -> None:
        if connection.execute(_FOREIGN).fetchone() is not None:
            raise self._not_own()

    def _not_own(self) -> NotAStoreError:
        return NotAStoreError(
            f"{self.path.name} at {self._label!r} is not as agentmem makes it: nothing was "
            f"changed; restore it from a backup, or use another location"
        )

    @contextmanager
    def _begun(self, begin: str) -> Iterator[sqlite3.Connection]:
        connection = self._opened()
        connection.execute(begin)
        try:
            yield connection
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _connect(self.path, self._timeout_s)
        return self._connection


def _connect(path: Path, timeout_s: float) -> sqlite3.Connection:
    # Not created here: what is missing was moved.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(
        *(uri, timeout_s), uri=True, isolation_level=None, check_same_thread=False
    )
    # Of a damaged column: the driver's own error has its content in the message.
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
    except BaseException:
        connection.close()
        raise
    return connection
