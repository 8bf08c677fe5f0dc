"""The file of an encrypted store: sealed rows, by table and id, with the number of their commit.

What is in the clear is in `_TABLES`: names of tables, ids, which rows share a key, and in which
order they were written; of contents, only their lengths. Each commit has the next number, so that
another process reads just the rows that it has not seen.

A rollback journal, and no write-ahead log: the file is whole by itself whenever nobody is writing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from agentmem_storage.disk import make_private_file
from agentmem_storage.encryption.ring import NONCE_BYTES, KeyRing
from agentmem_storage.encryption.sealing import Census, DestroyedKeyError, RowSeal
from agentmem_storage.errors import CorruptRecordError, KeyRingError, NotAStoreError, StoreError

ENCRYPTED_NAME: Final = "encrypted.db"
# "AgMe"
_APPLICATION_ID = 0x41674D65
_FORMAT = 1
# Removals that are listed; who has not seen those before reads the whole file again.
_LISTED = 10_000
# What the store as a whole is encrypted for; it is shredded with nothing.
STORE: Final = ("store", 0)
# The row of `state` as it is sealed, and what rows of other tables are sealed as.
_STATE = ("state", 1)
_OWNER, _DOOMED = "owner of", "doomed"
_PRAGMAS = (
    "PRAGMA secure_delete = ON",
    # A commit is on the disk, and its journal gone, before it is acknowledged.
    "PRAGMA synchronous = EXTRA",
    "PRAGMA trusted_schema = OFF",
)
_TABLES = (
    f"PRAGMA application_id = {_APPLICATION_ID}",
    """
    CREATE TABLE state (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        format INTEGER NOT NULL,
        ring_id BLOB NOT NULL,
        steps INTEGER NOT NULL,
        version INTEGER NOT NULL,
        listed_from INTEGER NOT NULL,
        sealed BLOB NOT NULL
    )
    """,
    # Which key is whose: of the store, of a scope, or of a row that is in no scope any more. Sealed
    # too, for what a key is taken for decides what is destroyed with it.
    """
    CREATE TABLE owners (
        kind TEXT NOT NULL,
        id INTEGER NOT NULL,
        key_id INTEGER NOT NULL,
        sealed BLOB NOT NULL,
        PRIMARY KEY (kind, id)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE rows (
        kind TEXT NOT NULL,
        id INTEGER NOT NULL,
        key_id INTEGER NOT NULL,
        version INTEGER NOT NULL,
        content BLOB NOT NULL,
        PRIMARY KEY (kind, id)
    )
    """,
    "CREATE INDEX rows_by_version ON rows (version)",
    "CREATE INDEX rows_by_key ON rows (key_id)",
    "CREATE TABLE removed (kind TEXT NOT NULL, id INTEGER NOT NULL, version INTEGER NOT NULL)",
    "CREATE INDEX removed_by_version ON removed (version)",
    # Keys of which no row is left, to be destroyed.
    "CREATE TABLE doomed (key_id INTEGER PRIMARY KEY, sealed BLOB NOT NULL)",
)

_NONCES = (
    f"SELECT kind, id, CAST(substr(content, 1, {NONCE_BYTES}) AS BLOB) FROM rows "
    "WHERE typeof(content) = 'blob'"
)

Place = tuple[str, int]
Owner = tuple[str, int]


@dataclass(frozen=True, slots=True)
class State:
    """What the file says of itself.

    Attributes:
        steps: How many steps of the schema its rows have.
        version: The number of its last commit.
        listed_from: Since which commit all removals are listed.
        total: The sum of a `Census` over its rows.
    """

    steps: int
    version: int
    listed_from: int
    total: int


class Row(NamedTuple):
    """A row as it is in memory."""

    kind: str
    id: int
    values: list[Any]


@dataclass(slots=True)
class Unread:
    """Rows of the file that are not in memory.

    Attributes:
        damaged: They are not what was sealed in their place.
        shredded: Their keys have been destroyed.
        altered: Whether rows were left out, or older ones brought back.
    """

    damaged: set[Place] = field(default_factory=set)
    shredded: set[Place] = field(default_factory=set)
    altered: bool = False


class EncryptedFile:
    """An open file of sealed rows; for one thread at a time. Several processes may use the file.

    Args:
        path: The file; it exists and may be empty.
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
        self._census: Census | None = None
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
                for statement in _TABLES:
                    connection.execute(statement)
                key_id = ring.create()
                sealed = file._seal.seal(f"{_OWNER} {STORE[0]}", STORE[1], key_id, [key_id])
                connection.execute(
                    "INSERT INTO owners VALUES (?, ?, ?, ?)", (*STORE, key_id, sealed)
                )
                values = (_FORMAT, ring.ring_id, b"")
                connection.execute("INSERT INTO state VALUES (1, ?, ?, 0, 0, 0, ?)", values)
                file._put_state(connection, State(0, 0, 0, 0))
                connection.execute("COMMIT")
        return file

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
            foreign = connection.execute(
                "SELECT 1 FROM sqlite_master WHERE type IN ('trigger', 'view')"
            ).fetchone()
            if mark != _APPLICATION_ID or foreign is not None:
                raise NotAStoreError(
                    f"{self.path.name} at {self._label!r} is not as agentmem makes it: nothing was "
                    f"changed; restore it from a backup, or use another location"
                )
            (ring_id,) = connection.execute("SELECT ring_id FROM state").fetchone()
            if ring_id != self.ring.ring_id:
                raise KeyRingError(
                    f"{self.ring.path.name} at {self._label!r} is the key ring of another store: "
                    f"put that of this store back; nothing was changed"
                )
            _ = reader.state

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """A read transaction."""
        with self._begun("BEGIN") as connection:
            yield Reader(self, connection)

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """A write transaction; rolled back unless `Writer.commit` is called in the block."""
        with self._begun("BEGIN IMMEDIATE") as connection:
            yield Writer(self, connection)

    def purge(self, *, wait: bool) -> None:
        """Destroy the keys that nothing is left of, and rewrite the file without removed rows."""
        connection = self._opened()
        if not wait:
            connection.execute("PRAGMA busy_timeout = 0")
        try:
            self.destroy_doomed()
            # `secure_delete` does not reach what SQLite left behind when it moved rows.
            connection.execute("VACUUM")
        finally:
            connection.execute(f"PRAGMA busy_timeout = {round(self._timeout_s * 1000)}")

    def destroy_doomed(self) -> None:
        """Destroy the keys that nothing is left of, in the ring."""
        with self._begun("BEGIN IMMEDIATE") as connection:
            rows = connection.execute("SELECT key_id, sealed FROM doomed").fetchall()
            doomed = [row[0] for row in rows if self._says(connection, _DOOMED, row[0], *row)]
            if rows:
                # Before it is noted as done: a process that dies in between does it again.
                self.ring.destroy(doomed)
                connection.execute("DELETE FROM doomed")
                connection.execute("COMMIT")
        for key_id in doomed:
            self._seal.drop(key_id)

    def disconnect(self) -> None:
        """Close the connection; the next use opens one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def abandon_connection(self) -> None:
        """In a forked child: leave the connection to the parent, whose it is."""
        self._connection = None

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
            # Not created here: what is missing was moved.
            uri = f"{self.path.absolute().as_uri()}?mode=rw"
            connection = sqlite3.connect(
                *(uri, self._timeout_s), uri=True, isolation_level=None, check_same_thread=False
            )
            # Of a damaged column: the driver's own error has its content in the message.
            connection.text_factory = partial(str, encoding="utf-8", errors="replace")
            try:
                for pragma in _PRAGMAS:
                    connection.execute(pragma)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _store_key(self, connection: sqlite3.Connection) -> int:
        row = connection.execute("SELECT key_id FROM owners WHERE kind = ? AND id = ?", STORE)
        found = row.fetchone()
        if found is None:
            raise self._damaged("it does not say which key the store has")
        return int(found[0])

    def _says(
        self, connection: sqlite3.Connection, kind: str, id: int, key_id: int, sealed: bytes
    ) -> bool:
        """Whether it was sealed that a key is somebody's, or doomed."""
        return self._seal.open(kind, id, self._store_key(connection), sealed) == [key_id]

    def _counting(self, connection: sqlite3.Connection) -> Census:
        if self._census is None:
            key = self.ring.data_key(self._store_key(connection))
            if key is None:
                raise self._damaged("the key of the whole store has been destroyed")
            self._census = Census(key)
        return self._census

    def _state(self, connection: sqlite3.Connection) -> State:
        row = connection.execute("SELECT format, steps, version, listed_from, sealed FROM state")
        found = row.fetchone()
        if found is None or not isinstance(found[4], bytes):
            raise self._damaged("it does not say what it is")
        format, *clear, sealed = found
        if format != _FORMAT:
            raise StoreError(
                f"the store at {self._label!r} has format {format!r:.20} of encrypted stores, and "
                f"this version reads {_FORMAT}: upgrade with: pip install -U latent-agentmem"
            )
        try:
            opened = self._seal.open(*_STATE, self._store_key(connection), sealed)
        except DestroyedKeyError:
            raise self._damaged("the key of the whole store has been destroyed") from None
        if opened is None or opened[:3] != clear:
            raise self._damaged("what it says of itself was altered")
        steps, version, listed_from, total = opened
        return State(steps, version, listed_from, int(total, 16))

    def _put_state(self, connection: sqlite3.Connection, state: State) -> None:
        clear = (state.steps, state.version, state.listed_from)
        values = (*clear, Census.wrapped(state.total))
        sealed = self._seal.seal(*_STATE, self._store_key(connection), values)
        connection.execute(
            "UPDATE state SET steps = ?, version = ?, listed_from = ?, sealed = ?",
            (*clear, sealed),
        )

    def _damaged(self, why: str) -> CorruptRecordError:
        return CorruptRecordError(
            f"{self.path.name} of the store at {self._label!r} is damaged ({why}): nothing was "
            f"changed; restore it from a backup"
        )


class Reader:
    """A transaction that reads the file; what it sees does not change.

    Attributes:
        connection: Its connection.
    """

    def __init__(self, file: EncryptedFile, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._file = file
        self._known: State | None = None

    @property
    def state(self) -> State:
        """What the file says of itself.

        Raises:
            CorruptRecordError: It was altered.
        """
        if self._known is None:
            self._known = self._file._state(self.connection)
        return self._known

    def version(self) -> int:
        """The number of the last commit, unchecked: to see whether there is anything new."""
        return int(self.connection.execute("SELECT version FROM state").fetchone()[0])

    def all_rows(self, unread: Unread) -> Iterator[Row]:
        """All rows; those that cannot be read are noted in ``unread``."""
        census = self._file._counting(self.connection)
        total = 0
        query = "SELECT kind, id, key_id, content FROM rows ORDER BY kind, id"
        for kind, id, key_id, content in self.connection.execute(query):
            if isinstance(content, bytes):
                total += census.of(kind, id, content)
            yield from self._opened(kind, id, key_id, content, unread)
        unread.altered = Census.wrapped(total) != Census.wrapped(self.state.total)

    def rows_since(self, version: int, unread: Unread) -> Iterator[Row]:
        """The rows that were written after a commit; those that cannot be read are noted."""
        query = "SELECT kind, id, key_id, content FROM rows WHERE version > ? ORDER BY kind, id"
        for kind, id, key_id, content in self.connection.execute(query, (version,)):
            yield from self._opened(kind, id, key_id, content, unread)

    def removed_since(self, version: int) -> list[Place]:
        """The rows that were removed after a commit; some may have been written again."""
        query = "SELECT DISTINCT kind, id FROM removed WHERE version > ?"
        return self.connection.execute(query, (version,)).fetchall()

    def _opened(
        self, kind: str, id: int, key_id: int, content: bytes, unread: Unread
    ) -> Iterator[Row]:
        try:
            values = self._file._seal.open(kind, id, key_id, content)
        except DestroyedKeyError:
            unread.shredded.add((kind, id))
            return
        except KeyRingError:
            # A key that is nobody's is no key: the number itself is damaged.
            owned = "SELECT 1 FROM owners WHERE key_id = ?"
            if self.connection.execute(owned, (key_id,)).fetchone() is not None:
                raise
            values = None
        if values is None:
            unread.damaged.add((kind, id))
        else:
            unread.damaged.discard((kind, id))
            yield Row(kind, id, values)


class Writer(Reader):
    """A transaction that changes the file; nothing is kept before `commit`."""

    def __init__(self, file: EncryptedFile, connection: sqlite3.Connection) -> None:
        super().__init__(file, connection)
        self._census = file._counting(connection)
        self._before = self.state
        self._now = replace(self._before, version=self._before.version + 1)
        self._keys: dict[Owner, int] = {}
        self._store_key = file._store_key(connection)

    def put(self, row: Row, owner: Owner) -> None:
        """Write a row with the key of its owner, which gets one if it has none.

        Raises:
            KeyRingError: The ring does not have the key.
        """
        key_id = self._key_of(owner)
        sealed = self._file._seal.seal(row.kind, row.id, key_id, row.values)
        self._uncount(row.kind, row.id)
        self._count(self._census.of(row.kind, row.id, sealed))
        self.connection.execute(
            "INSERT OR REPLACE INTO rows (kind, id, key_id, version, content) "
            "VALUES (?, ?, ?, ?, ?)",
            (row.kind, row.id, key_id, self._now.version, sealed),
        )

    def remove(self, kind: str, id: int) -> None:
        """Remove a row, if it is there."""
        if self._uncount(kind, id):
            self.connection.execute("DELETE FROM rows WHERE kind = ? AND id = ?", (kind, id))
            values = (kind, id, self._now.version)
            self.connection.execute("INSERT INTO removed VALUES (?, ?, ?)", values)

    def dismiss(self, owner: Owner) -> None:
        """Remove whatever is left of an owner, readable or not; its key is then to be destroyed."""
        key_id = self._keys.pop(owner, None) or self._owned_by(owner)
        if key_id is None:
            return
        left = self.connection.execute("SELECT kind, id FROM rows WHERE key_id = ?", (key_id,))
        for place in left.fetchall():
            self.remove(*place)
        self.connection.execute("DELETE FROM owners WHERE kind = ? AND id = ?", owner)
        sealed = self._file._seal.seal(_DOOMED, key_id, self._store_key, [key_id])
        self.connection.execute("INSERT OR REPLACE INTO doomed VALUES (?, ?)", (key_id, sealed))

    def places(self) -> list[Place]:
        """Where rows are, readable or not."""
        return self.connection.execute("SELECT kind, id FROM rows").fetchall()

    def commit(self, steps: int) -> int:
        """Make what was written durable; the number of the commit.

        Args:
            steps: How many steps of the schema the rows have.
        """
        self._now = replace(self._now, steps=steps)
        self._trim()
        self._file._put_state(self.connection, self._now)
        self.connection.execute("COMMIT")
        return self._now.version

    def count_again(self) -> None:
        """Take the rows that there are for all."""
        total = sum(self._census.of(*row) for row in self.connection.execute(_NONCES))
        self._now = replace(self._now, total=total)

    def _trim(self) -> None:
        """Delete the oldest removals from the list, whole commits at a time."""
        over = self.connection.execute(
            "SELECT version FROM removed ORDER BY version DESC LIMIT 1 OFFSET ?", (_LISTED,)
        ).fetchone()
        # Not before there are twice as many: otherwise each commit would delete some.
        many = "SELECT 1 FROM removed LIMIT 1 OFFSET ?"
        if over is not None and self.connection.execute(many, (2 * _LISTED,)).fetchone():
            self.connection.execute("DELETE FROM removed WHERE version <= ?", over)
            self._now = replace(self._now, listed_from=over[0])

    def _key_of(self, owner: Owner) -> int:
        if owner not in self._keys:
            key_id = self._owned_by(owner)
            if key_id is None:
                key_id = self._file.ring.create()
                sealed = self._file._seal.seal(
                    f"{_OWNER} {owner[0]}", owner[1], self._store_key, [key_id]
                )
                values = (*owner, key_id, sealed)
                self.connection.execute("INSERT INTO owners VALUES (?, ?, ?, ?)", values)
            self._keys[owner] = key_id
        return self._keys[owner]

    def _owned_by(self, owner: Owner) -> int | None:
        """The key of an owner.

        Raises:
            CorruptRecordError: It is said to be another than was sealed.
        """
        kind, id = owner
        query = "SELECT key_id, sealed FROM owners WHERE kind = ? AND id = ?"
        row = self.connection.execute(query, owner).fetchone()
        if row is None:
            return None
        if not self._file._says(self.connection, f"{_OWNER} {kind}", id, *row):
            raise self._file._damaged(f"it names another key for {kind} {id} than it had")
        return int(row[0])

    def _uncount(self, kind: str, id: int) -> bool:
        row = self.connection.execute(
            "SELECT content FROM rows WHERE kind = ? AND id = ?", (kind, id)
        ).fetchone()
        if row is None:
            return False
        if isinstance(row[0], bytes):
            self._count(-self._census.of(kind, id, row[0]))
        return True

    def _count(self, mark: int) -> None:
        self._now = replace(self._now, total=self._now.total + mark)
