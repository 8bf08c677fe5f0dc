"""Transactions on the file of an encrypted store: reading rows, and sealing others."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace

from agentmem_storage.encryption.cipher import NONCE_BYTES
from agentmem_storage.encryption.layout import (
    FORMAT,
    STORE,
    Owner,
    Place,
    Row,
    State,
    Unread,
)
from agentmem_storage.encryption.names import ENCRYPTED_NAME
from agentmem_storage.encryption.ring import KeyRing
from agentmem_storage.encryption.sealing import Census, DestroyedKeyError, RowSeal
from agentmem_storage.errors import CorruptRecordError, KeyRingError, StoreError

# Removals that are listed; who has not seen those before reads the whole file again.
LISTED = 10_000
# What rows of other tables are sealed as.
_STATE = ("state", 1)
_OWNER, _DOOMED = "owner of", "doomed"
_ROWS = "SELECT kind, id, key_id, content FROM rows"
_NEWEST_KEY = (
    "SELECT max(key_id) FROM (SELECT key_id FROM owners UNION ALL SELECT key_id FROM doomed)"
)
_OWNERS = "SELECT kind, id, key_id, sealed FROM owners"
# By the rows of scopes, each of which is sealed with the key of its scope.
_MISOWNED = (
    "SELECT rows.id FROM rows LEFT JOIN owners "
    "ON owners.kind = rows.kind AND owners.id = rows.id "
    "WHERE rows.kind = 'scopes' AND owners.key_id IS NOT rows.key_id"
)
_NONCES = (
    f"SELECT kind, id, CAST(substr(content, 1, {NONCE_BYTES}) AS BLOB) FROM rows "
    "WHERE typeof(content) = 'blob'"
)


class Reader:
    """A transaction that reads the file; what it sees does not change.

    Attributes:
        connection: Its connection.
    """

    def __init__(
        self, connection: sqlite3.Connection, ring: KeyRing, seal: RowSeal, label: str
    ) -> None:
        self.connection = connection
        self._ring = ring
        self._seal = seal
        self._label = label
        self._state: State | None = None

    @property
    def state(self) -> State:
        """What the file says of itself.

        Raises:
            CorruptRecordError: It was altered.
            StoreError: A newer agentmem has made it.
        """
        if self._state is None:
            self._state = self._read_state()
        return self._state

    def version(self) -> int:
        """The number of the last commit, unchecked: to see whether there is anything new."""
        return int(self.connection.execute("SELECT version FROM state").fetchone()[0])

    def all_rows(self, unread: Unread) -> Iterator[Row]:
        """All rows; those that cannot be read are noted in ``unread``."""
        census = self._census()
        total = 0
        for kind, id, key_id, content in self.connection.execute(f"{_ROWS} ORDER BY kind, id"):
            if isinstance(content, bytes):
                total += census.of(kind, id, content)
            yield from self._opened(kind, id, key_id, content, unread)
        unread.altered = not Census.equal(total, self.state.total)

    def rows_since(self, version: int, unread: Unread) -> Iterator[Row]:
        """The rows that were written after a commit; those that cannot be read are noted."""
        query = f"{_ROWS} WHERE version > ? ORDER BY kind, id"
        for kind, id, key_id, content in self.connection.execute(query, (version,)):
            yield from self._opened(kind, id, key_id, content, unread)

    def removed_since(self, version: int) -> list[Place]:
        """The rows that were removed after a commit; some may have been written again.

        The list is not sealed: a place in it may be anything.
        """
        query = "SELECT DISTINCT kind, id FROM removed WHERE version > ?"
        return self.connection.execute(query, (version,)).fetchall()

    def doomed(self) -> list[int]:
        """Keys of which no row is left, to be destroyed."""
        rows = self.connection.execute("SELECT key_id, sealed FROM doomed").fetchall()
        return [key_id for key_id, sealed in rows if self._says(_DOOMED, key_id, key_id, sealed)]

    def misowned(self) -> set[Owner]:
        """Owners of which it is not said, or not sealed, which key they have."""
        owners = self.connection.execute(_OWNERS).fetchall()
        found = {
            (kind, id)
            for kind, id, key_id, sealed in owners
            if not self._says(f"{_OWNER} {kind}", id, key_id, sealed)
        }
        return found | {("scopes", id) for (id,) in self.connection.execute(_MISOWNED)}

    def damaged_keys(self) -> tuple[list[int], list[int]]:
        """Keys of the ring that are damaged: those of which no row is left, and the others."""
        damaged = self._ring.damaged_keys()
        query = "SELECT key_id FROM owners UNION SELECT key_id FROM rows"
        used = {key_id for (key_id,) in self.connection.execute(query)} if damaged else set()
        return [one for one in damaged if one not in used], [one for one in damaged if one in used]

    def _opened(
        self, kind: str, id: int, key_id: int, content: bytes, unread: Unread
    ) -> Iterator[Row]:
        try:
            values = self._seal.open(kind, id, key_id, content)
        except DestroyedKeyError:
            # What is shredded is removed; so a row must not be because it names another's key.
            if not self._seal.opens_otherwise(kind, id, content):
                unread.shredded.add((kind, id))
                return
            values = None
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

    def _store_key(self) -> int:
        query = "SELECT key_id FROM owners WHERE kind = ? AND id = ?"
        row = self.connection.execute(query, STORE).fetchone()
        if row is None or self._ring.data_key(row[0]) is None:
            raise self._damaged("it does not say which key the store has")
        return int(row[0])

    def _census(self) -> Census:
        key = self._ring.data_key(self._store_key())
        assert key is not None
        return Census(key)

    def _says(self, kind: str, id: int, key_id: int, sealed: bytes) -> bool:
        """Whether it was sealed that a key is somebody's, or doomed."""
        return self._seal.open(kind, id, self._store_key(), sealed) == [key_id]

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
        if not self._says(f"{_OWNER} {kind}", id, *row):
            raise self._damaged(f"it names another key for {kind} {id} than it had")
        return int(row[0])

    def _read_state(self) -> State:
        query = "SELECT format, steps, version, listed_from, sealed FROM state"
        row = self.connection.execute(query).fetchone()
        if row is None:
            raise self._damaged("it does not say what it is")
        format, *clear, sealed = row
        if format != FORMAT:
            raise StoreError(
                f"the store at {self._label!r} has format {format!r:.20} of encrypted stores, and "
                f"this version reads {FORMAT}: upgrade with: pip install -U latent-agentmem"
            )
        opened = self._seal.open(*_STATE, self._store_key(), sealed)
        if opened is None or opened[:3] != clear:
            raise self._damaged("what it says of itself was altered")
        steps, version, listed_from, total = opened
        return State(steps, version, listed_from, int(total, 16))

    def _damaged(self, why: str) -> CorruptRecordError:
        return CorruptRecordError(
            f"{ENCRYPTED_NAME} of the store at {self._label!r} is damaged ({why}): nothing was "
            f"changed; restore it from a backup"
        )


class Writer(Reader):
    """A transaction that changes the file; nothing is kept before `commit`."""

    def __init__(
        self, connection: sqlite3.Connection, ring: KeyRing, seal: RowSeal, label: str
    ) -> None:
        super().__init__(connection, ring, seal, label)
        self._counting = self._census()
        self._sealing = self._store_key()
        self._now = replace(self.state, version=self.state.version + 1)
        self._keys: dict[Owner, int] = {}
        self._removed: list[Place] = []

    @staticmethod
    def begin(connection: sqlite3.Connection, ring: KeyRing, seal: RowSeal, label: str) -> None:
        """In a transaction, write what an empty file begins with, and commit it."""
        key_id = ring.begin()
        sealed = seal.seal(f"{_OWNER} {STORE[0]}", STORE[1], key_id, [key_id])
        connection.execute("INSERT INTO owners VALUES (?, ?, ?, ?)", (*STORE, key_id, sealed))
        row = (FORMAT, ring.ring_id, seal.seal(*_STATE, key_id, _sealed_state(State())))
        connection.execute("INSERT INTO state VALUES (1, ?, ?, 0, 0, 0, ?)", row)
        Writer(connection, ring, seal, label)  # which checks it
        connection.execute("COMMIT")

    def put(self, row: Row, owner: Owner) -> None:
        """Write a row with the key of its owner, which gets one if it has none.

        Raises:
            KeyRingError: The ring does not have the key.
            CorruptRecordError: Another key is said to be the owner's.
        """
        key_id = self._key_of(owner)
        sealed = self._seal.seal(row.kind, row.id, key_id, row.values)
        self._uncount(row.kind, row.id)
        self._count(self._counting.of(row.kind, row.id, sealed))
        self.connection.execute(
            "INSERT OR REPLACE INTO rows (kind, id, key_id, version, content) "
            "VALUES (?, ?, ?, ?, ?)",
            (row.kind, row.id, key_id, self._now.version, sealed),
        )

    def remove(self, kind: str, id: int) -> None:
        """Remove a row, if it is there."""
        if self._uncount(kind, id):
            self.connection.execute("DELETE FROM rows WHERE kind = ? AND id = ?", (kind, id))
            # Listed when all are gone: on a full disk, what they leave is the room for that.
            self._removed.append((kind, id))

    def dismiss(self, owner: Owner) -> None:
        """Remove whatever is left of an owner, readable or not; its key is then to be destroyed.

        Raises:
            CorruptRecordError: Another key is said to be the owner's.
        """
        key_id = self._keys.pop(owner, None) or self._owned_by(owner)
        if key_id is None:
            return
        left = self.connection.execute("SELECT kind, id FROM rows WHERE key_id = ?", (key_id,))
        for place in left.fetchall():
            self.remove(*place)
        self.connection.execute("DELETE FROM owners WHERE kind = ? AND id = ?", owner)
        sealed = self._seal.seal(_DOOMED, key_id, self._sealing, [key_id])
        self.connection.execute("INSERT OR REPLACE INTO doomed VALUES (?, ?)", (key_id, sealed))

    def mend_owners(self) -> None:
        """Give owners the key that their own rows have, as far as these are intact."""
        query = "SELECT key_id, content FROM rows WHERE kind = ? AND id = ?"
        for owner in self.misowned():
            if owner == STORE:
                self._own(owner, self._sealing)  # with which the state of the file was sealed
                continue
            rows = self.connection.execute(query, owner).fetchall()
            if not rows:
                self.connection.execute("DELETE FROM owners WHERE kind = ? AND id = ?", owner)
            for key_id, content in rows:
                if list(self._opened(*owner, key_id, content, Unread())):
                    self._own(owner, key_id)

    def destroy_damaged_keys(self) -> None:
        """Destroy damaged keys of which no row is left: most likely they were tombstones."""
        unused, _ = self.damaged_keys()
        if unused:
            self._ring.destroy(unused)

    def places(self) -> list[Place]:
        """Where rows are, readable or not."""
        return self.connection.execute("SELECT kind, id FROM rows").fetchall()

    def count_again(self) -> None:
        """Take the rows that there are for all."""
        total = sum(self._counting.of(*row) for row in self.connection.execute(_NONCES))
        self._now = replace(self._now, total=total)

    def commit(self, steps: int) -> int:
        """Make what was written durable; the number of the commit.

        Args:
            steps: How many steps of the schema the rows have.
        """
        self._now = now = replace(self._now, steps=steps)
        self.connection.executemany(
            "INSERT INTO removed VALUES (?, ?, ?)",
            [(*place, now.version) for place in self._removed],
        )
        self._trim()
        now = self._now
        self.connection.execute(
            "UPDATE state SET steps = ?, version = ?, listed_from = ?, sealed = ?",
            (
                *(now.steps, now.version, now.listed_from),
                self._seal.seal(*_STATE, self._sealing, _sealed_state(now)),
            ),
        )
        self.connection.execute("COMMIT")
        return now.version

    def _trim(self) -> None:
        """Delete the oldest removals from the list, whole commits at a time."""
        # Not before there are twice as many: otherwise each commit would delete some.
        many = "SELECT 1 FROM removed LIMIT 1 OFFSET ?"
        if self.connection.execute(many, (2 * LISTED,)).fetchone() is not None:
            over = "SELECT version FROM removed ORDER BY version DESC LIMIT 1 OFFSET ?"
            (version,) = self.connection.execute(over, (LISTED,)).fetchone()
            self.connection.execute("DELETE FROM removed WHERE version <= ?", (version,))
            self._now = replace(self._now, listed_from=version)

    def _key_of(self, owner: Owner) -> int:
        if owner not in self._keys:
            key_id = self._owned_by(owner)
            if key_id is None:
                (known,) = self.connection.execute(_NEWEST_KEY).fetchone()
                key_id = self._ring.create(above=known)
                self._own(owner, key_id)
            self._keys[owner] = key_id
        return self._keys[owner]

    def _own(self, owner: Owner, key_id: int) -> None:
        sealed = self._seal.seal(f"{_OWNER} {owner[0]}", owner[1], self._sealing, [key_id])
        values = (*owner, key_id, sealed)
        self.connection.execute("INSERT OR REPLACE INTO owners VALUES (?, ?, ?, ?)", values)

    def _uncount(self, kind: str, id: int) -> bool:
        query = "SELECT content FROM rows WHERE kind = ? AND id = ?"
        row = self.connection.execute(query, (kind, id)).fetchone()
        if row is None:
            return False
        if isinstance(row[0], bytes):
            self._count(-self._counting.of(kind, id, row[0]))
        return True

    def _count(self, mark: int) -> None:
        self._now = replace(self._now, total=self._now.total + mark)


def _sealed_state(state: State) -> list[int | str]:
    """What is sealed of a state: the sum may be longer than an integer of SQLite or JSON."""
    return [state.steps, state.version, state.listed_from, Census.written(state.total)]
