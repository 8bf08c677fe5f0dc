"""A bounded cache of readers' states, in a database file of its own beside the store.

States are what a language model makes of a memory before it answers from it: megabytes that can be
made again at any time. So nothing here may fail or delay what the store is for. The file may be
deleted, damaged, locked, read-only or on a full disk: then nothing is found and nothing is kept,
with a line in the log. The least recently used go first.

But states are made of memories, and have to go with them. Rewriting a file of this size at each
`forget` would take seconds, so it is built in a way that ``secure_delete`` is enough. SQLite copies
what is on the pages of a B-tree when it balances the tree, and copies stay in free space. Overflow
pages are not copied, and are overwritten with zeros as soon as they are free. So what is secret has
in each row more bytes in front of it than the page of a B-tree takes, and lies on overflow pages:
the states, and the digest of what they were made of. The rest are numbers. After each erasure the
write-ahead log is truncated.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from zlib import crc32

from agentmem_storage import forks
from agentmem_storage.records import KeptStates
from agentmem_storage.sql.reader_states.states_file import (
    PAGE,
    StatesFile,
    UnusableError,
    connect,
    is_damage,
    make_tables,
    transaction,
)

DIGEST_BYTES = 32
_SUM_BYTES = 4
# How long an answer waits for another process that writes here, in seconds.
_PATIENCE_S = 1.0
_LISTED = "(SELECT value FROM json_each(?))"
_OF_READER = f"""
    FROM states JOIN readers ON readers.id = states.reader JOIN packed ON packed.id = states.id
    WHERE readers.fingerprint = ? AND states.chunk IN {_LISTED}
"""

_log = logging.getLogger(__name__)


class StatesCache:
    """States by reader and chunk; safe to use from several threads and processes.

    Args:
        path: The file, which need not exist; None keeps them in memory.
        store_id: Id of the store.
        most_bytes: The most that is kept; with 0 nothing is found or kept.
        writable: Whether the file may be written.
    """

    def __init__(
        self, path: Path | None, *, store_id: str, most_bytes: int, writable: bool = True
    ) -> None:
        self._file = None if path is None else StatesFile(path, store_id, writable=writable)
        self._label = "the cache of states" if path is None else str(path)
        self._store_id = store_id
        self._most_bytes = most_bytes
        self._writable = writable
        self._closed = False
        # Without a file there is one connection, for one thread at a time.
        self._memory: sqlite3.Connection | None = None
        self._turn = threading.Lock()

    @property
    def keeps(self) -> bool:
        """Whether anything can be kept here."""
        return self._most_bytes > 0 and self._writable and not self._closed

    def find(self, reader: str, wanted: Mapping[int, bytes]) -> dict[int, bytes]:
        """Packed states, by chunk id.

        Args:
            reader: Fingerprint of the reader.
            wanted: By chunk id, the digest of what the states must have been made of.
        """
        found: dict[int, bytes] = {}
        if not self._most_bytes or not wanted:
            return found
        with self._going_on("no states are read from"), self._open() as connection:
            if connection is not None:
                used = []
                query = f"SELECT states.id, chunk, used, data {_OF_READER}"
                for row, chunk, tick, data in connection.execute(query, (reader, _ids(wanted))):
                    if (packed := _unsealed(data, wanted[chunk])) is not None:
                        found[chunk] = packed
                        used.append((row, tick))
                self._note_use(connection, used)
        return found

    def held(self, reader: str, wanted: Mapping[int, bytes]) -> set[int]:
        """Ids of the chunks whose states `find` would find, unless they are damaged."""
        held: set[int] = set()
        if not self._most_bytes or not wanted:
            return held
        with self._going_on("no states are read from"), self._open() as connection:
            if connection is not None:
                query = f"SELECT chunk, substr(data, 1, {DIGEST_BYTES}) {_OF_READER}"
                rows = connection.execute(query, (reader, _ids(wanted)))
                held.update(chunk for chunk, digest in rows if digest == wanted[chunk])
        return held

    def keep(
        self,
        reader: str,
        made: Mapping[int, tuple[bytes, bytes]],
        still_there: Callable[[], Collection[int]],
        *,
        evict: bool = True,
    ) -> KeptStates:
        """Keep states, and drop what was used least recently where there is no room.

        Args:
            reader: Fingerprint of the reader.
            made: By chunk id, the digest of what the states were made of, and the packed states.
            still_there: Returns which of the chunks the store still has as they were read. Called
                while nothing can be erased here, so that what is forgotten at the same time is
                either not kept, or erased afterwards.
            evict: Whether others are dropped; if not, what finds no room is not kept.
        """
        done = KeptStates(frozenset(), full=True)
        if not self.keeps or not made:
            return done
        with self._going_on("no states are kept in"), self._open(create=True) as connection:
            if connection is None:  # closed by another thread
                return done
            with transaction(connection):
                there = set(still_there())
                rows = {chunk: one for chunk, one in made.items() if chunk in there}
                kept = self._insert(connection, reader, rows, evict=evict)
            done = KeptStates(frozenset(kept), full=len(kept) < len(rows))
            self._shrink(connection)
        return done

    def erase(self, chunks: Iterable[int], *, timeout_s: float) -> bool:
        """Erase the states of chunks, of all readers, so that no byte of them remains in the file.

        Returns:
            Whether it was done; if not, another process is using the file.
        """
        listed = _ids(chunks)
        return self._erase(lambda connection: listed, timeout_s)

    def sweep(
        self, still_there: Callable[[Sequence[int]], Collection[int]], *, timeout_s: float
    ) -> bool:
        """Erase the states of all chunks that the store no longer has.

        Args:
            still_there: Which of these chunk ids the store has.
            timeout_s: How long to wait for other processes, in seconds.

        Returns:
            As `erase`.
        """

        def gone(connection: sqlite3.Connection) -> str:
            held = [chunk for (chunk,) in connection.execute("SELECT DISTINCT chunk FROM states")]
            return _ids(set(held).difference(still_there(held)) if held else ())

        return self._erase(gone, timeout_s)

    def stored_bytes(self) -> int:
        """Bytes of the file and its log; without a file, of what is kept."""
        if self._file is not None:
            return self._file.size()
        with self._open() as connection:
            return 0 if connection is None else _total(connection)

    def close(self) -> None:
        """Neither find nor keep anything from now on; closing twice is harmless."""
        with forks.not_during_fork(), self._turn:
            self._closed = True
            if self._memory is not None:
                self._memory.close()
                self._memory = None

    def _insert(
        self,
        connection: sqlite3.Connection,
        reader: str,
        rows: Mapping[int, tuple[bytes, bytes]],
        *,
        evict: bool,
    ) -> set[int]:
        connection.execute("INSERT OR IGNORE INTO readers (fingerprint) VALUES (?)", (reader,))
        query = "SELECT id FROM readers WHERE fingerprint = ?"
        (number,) = connection.execute(query, (reader,)).fetchone()
        _delete(connection, f"reader = ? AND chunk IN {_LISTED}", (number, _ids(rows)))
        total = _total(connection)
        # The clock of use is the number of times that something was kept.
        now = _newest(connection) + 1
        kept: set[int] = set()
        for chunk, (digest, packed) in rows.items():
            data = _sealed(digest, packed)
            size = _stored_size(data)
            if evict and size <= self._most_bytes:
                total -= _evict(connection, total + size - self._most_bytes, before=now)
            if total + size > self._most_bytes:
                continue
            row = connection.execute(
                "INSERT INTO states (reader, chunk, used, bytes) VALUES (?, ?, ?, ?)",
                (number, chunk, now, size),
            ).lastrowid
            connection.execute(
                f"INSERT INTO packed (id, pad, data) VALUES (?, zeroblob({PAGE}), ?)", (row, data)
            )
            total += size
            kept.add(chunk)
        return kept

    def _note_use(self, connection: sqlite3.Connection, used: Sequence[tuple[int, int]]) -> None:
        """Note the use of rows, if others have been kept since their last: else nothing changes."""
        now = _newest(connection)
        older = [row for row, tick in used if tick < now]
        if older and self._writable:
            # Not worth waiting for: if another process is writing, the use is not noted.
            connection.execute("PRAGMA busy_timeout = 0").fetchone()
            with suppress(sqlite3.Error), transaction(connection):
                update = f"UPDATE states SET used = ? WHERE id IN {_LISTED}"
                connection.execute(update, (now, _ids(older)))

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Rewrite a file that is much larger than it may be: it once had another bound."""
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        if self._file is not None and pages * PAGE > self._most_bytes * 5 // 4 + 64 * PAGE:
            connection.execute("PRAGMA temp_store = FILE")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def _erase(self, listed: Callable[[sqlite3.Connection], str], timeout_s: float) -> bool:
        if self._file is not None and not self._file.exists():
            return True
        try:
            with self._open(timeout_s=timeout_s, durable=True) as connection:
                if connection is None:
                    return True
                with transaction(connection):
                    _delete(connection, f"chunk IN {_LISTED}", (listed(connection),))
                if self._file is None:
                    return True
                # Also if nothing was deleted: the log may have pages of what was dropped before.
                (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                return not busy
        except UnusableError as error:
            _log.warning("%s is left as it is: %s", self._label, error)
            return True
        except (sqlite3.Error, OSError) as error:
            if self._file is not None and is_damage(error):
                return self._file.discard(str(error))
            _log.warning("states of forgotten memories remain in %s: %s", self._label, error)
            return False

    @contextmanager
    def _going_on(self, what: str) -> Iterator[None]:
        """A block that is left where the file cannot be used."""
        try:
            yield
        except (sqlite3.Error, OSError, UnusableError) as error:
            _log.warning("%s %s: %s", what, self._label, error)
            if self._file is not None and is_damage(error):
                self._file.discard(str(error))

    @contextmanager
    def _open(
        self, *, create: bool = False, timeout_s: float | None = None, durable: bool = False
    ) -> Iterator[sqlite3.Connection | None]:
        """A connection for one call; None if the cache is closed, or there is no file."""
        with forks.not_during_fork():
            if self._file is None:
                with self._turn:
                    yield self._in_memory()
            elif self._closed:
                yield None
            else:
                patience = _PATIENCE_S if timeout_s is None else timeout_s
                with self._file.opened(
                    create=create, timeout_s=patience, durable=durable
                ) as connection:
                    yield connection

    def _in_memory(self) -> sqlite3.Connection | None:
        if self._memory is None and not self._closed:
            self._memory = connect(":memory:", 0.0)
            make_tables(self._memory, self._store_id)
        return self._memory


def _delete(connection: sqlite3.Connection, condition: str, values: tuple[object, ...]) -> None:
    rows = f"SELECT id FROM states WHERE {condition}"
    connection.execute(f"DELETE FROM packed WHERE id IN ({rows})", values)
    connection.execute(f"DELETE FROM states WHERE {condition}", values)


def _evict(connection: sqlite3.Connection, needed: int, *, before: int) -> int:
    """Delete what was used least recently, up to a time; how many bytes that frees."""
    freed = 0
    gone = []
    if needed > 0:
        query = "SELECT id, bytes FROM states WHERE used < ? ORDER BY used, id"
        for row, size in connection.execute(query, (before,)):
            freed += size
            gone.append(row)
            if freed >= needed:
                break
        _delete(connection, f"id IN {_LISTED}", (_ids(gone),))
    return freed


def _total(connection: sqlite3.Connection) -> int:
    (total,) = connection.execute("SELECT coalesce(sum(bytes), 0) FROM states").fetchone()
    return int(total)


def _newest(connection: sqlite3.Connection) -> int:
    (newest,) = connection.execute("SELECT coalesce(max(used), 0) FROM states").fetchone()
    return int(newest)


def _sealed(digest: bytes, packed: bytes) -> bytes:
    """What is stored: digest, checksum, packed states."""
    if len(digest) != DIGEST_BYTES:
        raise ValueError(f"a digest has {DIGEST_BYTES} bytes, not {len(digest)}")
    return b"".join((digest, crc32(packed).to_bytes(_SUM_BYTES, "little"), packed))


def _unsealed(data: bytes, digest: bytes) -> bytes | None:
    """The inverse; None if they were made of something else, or are damaged."""
    packed = data[DIGEST_BYTES + _SUM_BYTES :]
    total = int.from_bytes(data[DIGEST_BYTES : DIGEST_BYTES + _SUM_BYTES], "little")
    return packed if data[:DIGEST_BYTES] == digest and crc32(packed) == total else None


def _stored_size(data: bytes) -> int:
    """Bytes of the pages that a row takes, about."""
    return (len(data) + 2 * PAGE) // PAGE * PAGE


def _ids(ids: Iterable[int]) -> str:
    return json.dumps(list(ids))
