"""The key ring: the data keys of one store, each wrapped by the master key.

It is a file of its own beside the store, because keys must be in no backup: a key that is
destroyed here is gone. What was sealed with it is then unreadable, wherever a copy of that lies.
Ids are never given again, and a destroyed key leaves its id and a tombstone, which only the master
key can write, so that what was destroyed is told from what is lost. The first key is that of the
store itself, and made with it; each scope that is written to gets a further one.

The master key can be changed: all data keys are then wrapped again, in one transaction, and nothing
else is encrypted anew.
"""

from __future__ import annotations

import secrets
import sqlite3
import struct
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agentmem_storage.disk import make_private_file, make_private_folder
from agentmem_storage.encryption.cipher import make_cipher, seal, unseal
from agentmem_storage.encryption.master import KEY_BYTES
from agentmem_storage.errors import InputError, KeyRingError, WrongKeyError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_FORMAT = 2
# Destroyed keys were NULL, which anybody can write.
_FORMAT_WITHOUT_TOMBSTONES = 1
_FOREIGN = "SELECT 1 FROM sqlite_master WHERE type IN ('trigger', 'view') LIMIT 1"
_FIRST_KEY = 1
# "AgMk"
_APPLICATION_ID = 0x41674D6B
_ID_BYTES = 16
_NUMBER = struct.Struct(">q")
_PRAGMAS = (
    "PRAGMA secure_delete = ON",
    # The journal of a change is gone for certain before the change is acknowledged.
    "PRAGMA synchronous = EXTRA",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA trusted_schema = OFF",
)
_TABLES = (
    f"PRAGMA application_id = {_APPLICATION_ID}",
    """
    CREATE TABLE ring (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        format INTEGER NOT NULL,
        ring_id BLOB NOT NULL,
        proof BLOB NOT NULL
    )
    """,
    # NULL only within the transaction that makes a key.
    "CREATE TABLE keys (id INTEGER PRIMARY KEY AUTOINCREMENT, wrapped BLOB)",
)


class KeyRing:
    """The data keys of a store; for one thread at a time. Several processes may use the file.

    Attributes:
        path: The file.
        ring_id: 16 random bytes, which everything that its keys seal is bound to.
    """

    def __init__(self, path: Path, label: str, master: bytes, timeout_s: float) -> None:
        """Open a ring that exists.

        Args:
            path: The file.
            label: Names the store in errors.
            master: The master key.
            timeout_s: How long to wait for other processes, in seconds.

        Raises:
            WrongKeyError: The master key is another one.
            KeyRingError: There is no ring, or it is damaged.
            MissingExtraError: ``cryptography`` is not installed.
        """
        self.path = path
        self._label = label
        self._timeout_s = timeout_s
        self._master = make_cipher(master)
        self._proof = b""
        # A data key or the tombstone of one; of a damaged ring, anything.
        self._wrapped: dict[int, object] = {}
        with self._opened() as connection:
            with _transaction(connection, "BEGIN"):
                format = self._read_ring(connection)
            if format == _FORMAT_WITHOUT_TOMBSTONES:
                with _transaction(connection):
                    # Another process may have been first.
                    if self._read_ring(connection) == format:
                        self._add_tombstones(connection)
            with _transaction(connection, "BEGIN"):
                self._read(connection)

    @classmethod
    def make(cls, path: Path, label: str, master: bytes, timeout_s: float) -> KeyRing:
        """Open the ring of a new store, creating it and its folder unless another process has.

        Raises:
            WrongKeyError: There is one, of another master key.
            KeyRingError: There is one, and it is damaged.
            MissingExtraError: ``cryptography`` is not installed.
            OSError: It cannot be created.
        """
        cipher = make_cipher(master)
        make_private_folder(path.parent)
        make_private_file(path)
        with _connection(path, timeout_s) as connection:
            with _transaction(connection):
                empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
                if empty:
                    ring_id = secrets.token_bytes(_ID_BYTES)
                    proof = seal(cipher, b"", _proven(ring_id, _FORMAT))
                    for statement in _TABLES:
                        connection.execute(statement)
                    row = (_FORMAT, ring_id, proof)
                    connection.execute("INSERT INTO ring VALUES (1, ?, ?, ?)", row)
        return cls(path, label, master, timeout_s)

    @property
    def has_scopes(self) -> bool:
        """Whether it has, or had, the key of a scope: something was written to the store."""
        with self._opened() as connection:
            newest = connection.execute("SELECT max(id) FROM keys").fetchone()[0]
        return newest is not None and newest > _FIRST_KEY

    def begin(self) -> int:
        """The key of the store itself, while the store is being made; it is durable.

        It may be there already, from a process that died when it made the store.
        """
        with self._opened() as connection, _transaction(connection, "BEGIN"):
            self._require_own(connection)
            self._read(connection)
        return _FIRST_KEY if _FIRST_KEY in self._wrapped else self.create()

    def create(self, above: int = 0) -> int:
        """Make a random data key; it is durable when its id is returned.

        Args:
            above: The highest id that the store knows. A ring that has not come so far is an older
                copy, and would give an id again.

        Raises:
            KeyRingError: It is an older copy.
            WrongKeyError: The master key was changed by another process.
        """
        with self._opened() as connection, _transaction(connection):
            # Wrapped by the key of before, it would be lost.
            self._require_own(connection)
            key_id = connection.execute("INSERT INTO keys (wrapped) VALUES (NULL)").lastrowid
            assert key_id is not None
            if key_id <= above:
                raise self._older(above)
            data_key = secrets.token_bytes(KEY_BYTES)
            wrapped = seal(self._master, data_key, self._bound(key_id))
            self._write(connection, {key_id: wrapped})
        self._wrapped[key_id] = wrapped
        return key_id

    def data_key(self, key_id: int) -> bytes | None:
        """A data key; None if it has been destroyed.

        Raises:
            KeyRingError: The ring does not have it, or it is damaged.
            WrongKeyError: The master key was changed by another process.
        """
        if key_id not in self._wrapped:
            with self._opened() as connection, _transaction(connection, "BEGIN"):
                self._require_own(connection)
                self._read(connection)
        if key_id not in self._wrapped:
            raise self._older(key_id)
        return self._unwrapped(key_id)

    def _unwrapped(self, key_id: int) -> bytes | None:
        wrapped = self._wrapped[key_id]
        if isinstance(wrapped, bytes):
            key = unseal(self._master, wrapped, self._bound(key_id))
            if key is not None or unseal(self._master, wrapped, self._buried(key_id)) is not None:
                return key
        raise self._damaged(f"key {key_id} is not what was written")

    def ids(self) -> list[int]:
        """The ids of all data keys that were read so far, destroyed and damaged ones included."""
        return sorted(self._wrapped)

    def damaged_keys(self) -> list[int]:
        """The ids that have neither a key nor its tombstone.

        Raises:
            KeyRingError: The ring does not even have their table.
            WrongKeyError: The master key was changed by another process.
        """
        with self._opened() as connection, _transaction(connection, "BEGIN"):
            self._require_own(connection)
            self._read(connection)
        return [id for id in sorted(self._wrapped) if not self._is_intact(id)]

    def _is_intact(self, key_id: int) -> bool:
        try:
            self._unwrapped(key_id)
        except KeyRingError:
            return False
        return True

    def destroy(self, key_ids: Iterable[int]) -> None:
        """Destroy data keys, in the file too; those that are destroyed already stay so.

        Raises:
            WrongKeyError: The master key was changed by another process.
        """
        tombstones = {id: seal(self._master, b"", self._buried(id)) for id in key_ids}
        with self._opened() as connection:
            with _transaction(connection):
                # Sealed by the key of before, a tombstone would be taken for damage.
                self._require_own(connection)
                self._write(connection, tombstones)
            # Where SQLite has moved rows between pages, copies stay in the free space of a page.
            connection.execute("VACUUM")
        self._wrapped.update(tombstones)

    def rewrap(self, master: bytes) -> None:
        """Wrap all data keys with another master key; whatever happens, all of them or none.

        Args:
            master: The new master key.

        Raises:
            InputError: It is the one that the ring has.
            WrongKeyError: The master key was changed by another process.
            KeyRingError: A key is damaged; nothing was changed.
        """
        cipher = make_cipher(master)
        if self._proves(cipher, self._proof):
            raise InputError(
                f"the new key is the one that the store at {self._label!r} has: give another one"
            )
        with self._opened() as connection:
            # Where SQLite has moved rows between pages, copies stay in the free space of a page.
            # They go first: afterwards, each key is written over the one of before.
            connection.execute("VACUUM")
            with _transaction(connection):
                self._require_own(connection)
                self._read(connection)
                keys = [(id, self._unwrapped(id)) for id in self._wrapped]
                wrapped = {
                    id: seal(cipher, b"", self._buried(id))
                    if key is None
                    else seal(cipher, key, self._bound(id))
                    for id, key in keys
                }
                proof = seal(cipher, b"", _proven(self.ring_id, _FORMAT))
                self._write(connection, wrapped)
                connection.execute("UPDATE ring SET proof = ?", (proof,))
        self._master, self._proof = cipher, proof
        self._wrapped.update(wrapped)

    def require_own(self) -> None:
        """Check that the master key is still that of the ring.

        Raises:
            WrongKeyError: It was changed by another process.
            KeyRingError: There is no ring, or it is damaged.
        """
        with self._opened() as connection:
            self._require_own(connection)

    def copy_to(self, path: Path) -> None:
        """Write a copy of the ring to a new file.

        Raises:
            OSError: It cannot be created.
        """
        make_private_file(path)
        with self._opened() as connection, closing(sqlite3.connect(path)) as copy:
            connection.backup(copy)

    def _read_ring(self, connection: sqlite3.Connection) -> int:
        """What the ring is, and its format; the master key is checked against both."""
        row = connection.execute("SELECT format, ring_id, proof FROM ring").fetchone()
        known = (_FORMAT_WITHOUT_TOMBSTONES, _FORMAT)
        if row is None or row[0] not in known or not _are_bytes(row[1], row[2]):
            raise self._damaged("it does not say what it is")
        format: int = row[0]
        self.ring_id: bytes = row[1]
        self._proof = row[2]
        if not self._proves(self._master, self._proof, format):
            raise WrongKeyError(
                f"the key is not the one of the store at {self._label!r}: give that key, or if it "
                f"was changed since, the new one; nothing was changed"
            )
        return format

    def _add_tombstones(self, connection: sqlite3.Connection) -> None:
        destroyed = connection.execute("SELECT id FROM keys WHERE wrapped IS NULL").fetchall()
        self._write(
            connection, {id: seal(self._master, b"", self._buried(id)) for (id,) in destroyed}
        )
        self._proof = seal(self._master, b"", _proven(self.ring_id, _FORMAT))
        connection.execute("UPDATE ring SET format = ?, proof = ?", (_FORMAT, self._proof))

    def _write(self, connection: sqlite3.Connection, wrapped: dict[int, bytes]) -> None:
        connection.executemany(
            "UPDATE keys SET wrapped = ? WHERE id = ?", [(one, id) for id, one in wrapped.items()]
        )

    def _proves(self, cipher: AESGCM, proof: bytes, format: int = _FORMAT) -> bool:
        return unseal(cipher, proof, _proven(self.ring_id, format)) is not None

    def _require_own(self, connection: sqlite3.Connection) -> None:
        row = connection.execute("SELECT proof FROM ring").fetchone()
        if row is None or not _are_bytes(*row):
            raise self._damaged("it does not say what it is")
        if row[0] != self._proof and not self._proves(self._master, row[0]):
            raise WrongKeyError(
                f"the key of the store at {self._label!r} was changed while it was open: close it "
                f"and open it again with the new key"
            )

    def _bound(self, key_id: int) -> bytes:
        return b"key" + self.ring_id + _NUMBER.pack(key_id)

    def _buried(self, key_id: int) -> bytes:
        return b"destroyed" + self.ring_id + _NUMBER.pack(key_id)

    def _read(self, connection: sqlite3.Connection) -> None:
        self._wrapped = dict(connection.execute("SELECT id, wrapped FROM keys").fetchall())

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """A connection for one operation: none is open when a process forks.

        Raises:
            KeyRingError: There is no ring, or it is damaged.
        """
        if not self.path.is_file():
            raise KeyRingError(
                f"the key ring {self.path.name} of the encrypted store at {self._label!r} is "
                f"missing: it is in no backup, so put it back from where you keep it; without it, "
                f"nothing can be decrypted"
            )
        try:
            with _connection(self.path, self._timeout_s) as connection:
                if connection.execute(_FOREIGN).fetchone() is not None:
                    raise self._damaged("it has a trigger or a view, which could copy keys")
                yield connection
        except sqlite3.OperationalError as error:
            # Locked or unwritable, or cut so short that a table is missing.
            if _code(error) != sqlite3.SQLITE_ERROR:
                raise
            raise self._damaged("it has not the tables of one") from None
        except sqlite3.DatabaseError as error:
            if _code(error) not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise
            raise self._damaged("it is cut short or overwritten") from None

    def _older(self, key_id: int) -> KeyRingError:
        return KeyRingError(
            f"the key ring {self.path.name} of the store at {self._label!r} does not have key "
            f"{key_id}, with which a part of the store is encrypted: it is an older copy; put "
            f"the newest one back. Nothing was changed"
        )

    def _damaged(self, why: str) -> KeyRingError:
        return KeyRingError(
            f"the key ring {self.path.name} of the store at {self._label!r} is damaged ({why}): "
            f"put back a copy of it; nothing was changed"
        )


def _proven(ring_id: bytes, format: int) -> bytes:
    """What the proof of a ring is bound to: whoever alters the format has not the key either."""
    return b"proof" + ring_id + (b"" if format == _FORMAT_WITHOUT_TOMBSTONES else bytes([format]))


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary error code; of errors of the driver, the general one."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def _are_bytes(*values: object) -> bool:
    return all(isinstance(one, bytes) for one in values)


@contextmanager
def _connection(path: Path, timeout_s: float) -> Iterator[sqlite3.Connection]:
    # It must exist: SQLite would make an empty one in the place of one that was just moved.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None)
    with closing(connection):
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        yield connection


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
