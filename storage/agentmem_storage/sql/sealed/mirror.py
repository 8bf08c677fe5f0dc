"""Keeps the tables in memory of an encrypted store and its file of sealed rows the same.

The file is read into the tables once, and afterwards what others have written since. What a
transaction changes in the tables is noted by temporary triggers, which are no part of the schema,
and sealed into the file before the transaction ends. All tables are kept but those that are made
from others: the lexical index, from the texts that were indexed; the values of metadata; totals.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection

from agentmem_storage.encryption.layout import STORE, Place, Row, Unread
from agentmem_storage.encryption.transactions import Reader, Writer
from agentmem_storage.errors import CorruptRecordError, SchemaVersionError, StoreError
from agentmem_storage.sql.connection import empty_tables
from agentmem_storage.sql.connection.migrations import STEPS
from agentmem_storage.sql.lexical import indexed_texts
from agentmem_storage.sql.logs import changes
from agentmem_storage.sql.schema import row_counts
from agentmem_storage.sql.sealed.mirrored import (
    OWN_KEY,
    columns_of,
    present,
    qualified,
    read_rows,
    steps_run,
)
from agentmem_storage.sql.where import metadata_values

# Without them, the others say nothing, or something else.
_VITAL: Final = ("migrations", "meta", "sequence")
# The highest ids that were given, which SQLite keeps where no trigger can be.
_SEQUENCE: Final = ("sequence", 0)
_TOUCHED = "agentmem_touched"
_BATCH = 1_000
# Rows with the key of the store that name sources, and when these are gone.
_NAMING_SOURCES: Final = {
    "links": "old_id NOT IN (SELECT id FROM sources) OR new_id NOT IN (SELECT id FROM sources)",
    "replaced": "source_id NOT IN (SELECT id FROM sources)",
}

_log = logging.getLogger(__name__)


class Mirror:
    """What is known of the file, of which the tables of one connection have the rows.

    Attributes:
        unread: Rows of the file that are not in the tables.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._version: int | None = None
        self._steps = 0
        # The number of the schema for which there are triggers.
        self._watched: int | None = None
        # What the file has of `_SEQUENCE`, and what a commit is about to write.
        self._sequence: list[Any] | None = None
        self._next_sequence: list[Any] | None = None
        self.unread = Unread()

    def is_behind(self, reader: Reader) -> bool:
        """Whether the file has something that the tables do not have."""
        return reader.version() != self._version

    def seen(self, connection: sqlite3.Connection, version: int) -> None:
        """After a commit of this process, whose rows are in the tables."""
        self._version, self._steps = version, steps_run(connection)
        self._sequence = self._next_sequence

    def accept(self, version: int) -> None:
        """After a commit that dropped what cannot be read, and changed nothing else."""
        self._version = version
        self.unread = Unread(shredded=self.unread.shredded)

    def catch_up(self, connection: Connection, reader: Reader) -> None:
        """Bring the tables to the state of the file, in a transaction without foreign keys.

        Raises:
            SchemaVersionError: It was written by a newer agentmem.
            StoreError: Another process has migrated it since it was opened.
            CorruptRecordError: A row is damaged without which there is no store.
        """
        own = driver_connection(connection)
        state = reader.state
        if self._version is None or not self._steps:
            self._load(connection, own, reader)
        elif state.steps != self._steps:
            raise StoreError(
                f"the store at {self._label!r} was brought to another version of its schema while "
                f"it was open: close it and open it again"
            )
        elif self._version < state.listed_from:
            self._empty(own)
            self._fill(connection, own, reader.all_rows(self.unread))
        else:
            rows = list(reader.rows_since(self._version, self.unread))
            gone = set(reader.removed_since(self._version))
            self._take_out(own, gone.difference((row.kind, row.id) for row in rows))
            self._fill(connection, own, rows)
        self._require_vital()
        if self._watched is not None:
            own.execute(f"DELETE FROM {_TOUCHED}")
        if own.execute("SELECT 1 FROM sqlite_master WHERE name = 'totals'").fetchone():
            row_counts.recount(connection)
        self._version, self._steps = state.version, state.steps

    def watch(self, connection: sqlite3.Connection) -> None:
        """From now on, note what changes; outside of transactions, after `catch_up`."""
        (schema,) = connection.execute("PRAGMA main.schema_version").fetchone()
        if schema == self._watched:
            return
        connection.execute(f"CREATE TEMP TABLE IF NOT EXISTS {_TOUCHED} (kind TEXT, id INTEGER)")
        for table in present(connection):
            for event, rows in (
                ("INSERT", ("NEW",)),
                ("UPDATE", ("OLD", "NEW")),
                ("DELETE", ("OLD",)),
            ):
                noted = "".join(
                    f"INSERT INTO {_TOUCHED} VALUES ('{table}', {row}.rowid);" for row in rows
                )
                if table == "chunks" and event == "DELETE":
                    noted += f"DELETE FROM {indexed_texts.TABLE} WHERE id = OLD.id;"
                connection.execute(
                    f"CREATE TEMP TRIGGER IF NOT EXISTS agentmem_{event.lower()}_of_{table} "
                    f"AFTER {event} ON {qualified(table)} BEGIN {noted} END"
                )
        self._watched = schema

    def drop_traces(self, connection: Connection) -> None:
        """In a write, drop what names shredded rows by their ids; they themselves go with it."""
        own = driver_connection(connection)
        for table, stale in _NAMING_SOURCES.items():
            if table in present(own):
                own.execute(f"DELETE FROM {table} WHERE {stale}")
        gone = sorted(id for kind, id in self.unread.shredded if kind == "chunks")
        changes.append(connection, changes.REMOVE, gone)

    def write_back(self, connection: sqlite3.Connection, writer: Writer) -> int | None:
        """Seal what the transaction has changed, and commit it to the file.

        Args:
            connection: That of the tables, in its transaction.
            writer: The transaction of the file.

        Returns:
            The number of the commit; None if there was nothing to write.
        """
        (schema,) = connection.execute("PRAGMA main.schema_version").fetchone()
        if schema != self._watched:
            changed = self._write_all(connection, writer)
        else:
            changed = self._write_touched(connection, writer)
        changed = self._write_sequence(connection, writer) or changed
        for place in sorted(self.unread.shredded, key=str) if changed else ():
            writer.remove(*place)
        if not changed:
            return None
        version = writer.commit(steps_run(connection))
        self.unread.shredded.clear()
        return version

    def _load(self, connection: Connection, own: sqlite3.Connection, reader: Reader) -> None:
        steps = reader.state.steps
        if steps > len(STEPS):
            raise SchemaVersionError(
                f"the store was written by a newer agentmem: its schema has {steps} steps, and "
                f"this version has {len(STEPS)}; upgrade with: pip install -U latent-agentmem"
            )
        empty_tables.make(connection, [step.apply for step in STEPS[:steps]])
        self._fill(connection, own, reader.all_rows(self.unread))
        if self.unread.damaged or self.unread.altered:
            _log.warning(
                "the store at %r has damaged rows, which were left out: `agentmem verify` lists "
                "them",
                self._label,
            )

    def _require_vital(self) -> None:
        vital = [place for place in sorted(self.unread.damaged, key=str) if place[0] in _VITAL]
        if vital:
            kind, id = vital[0]
            raise CorruptRecordError(
                f"row {id} of {kind!r} of the encrypted store at {self._label!r} is not what was "
                f"written, and without it nothing can be read: nothing was changed; restore it "
                f"from a backup"
            )

    def _empty(self, connection: sqlite3.Connection) -> None:
        self.unread = Unread()
        for table in present(connection):
            connection.execute(f"DELETE FROM {table}")
        connection.execute("DELETE FROM metadata_values")
        connection.execute("INSERT INTO chunk_terms (chunk_terms) VALUES ('delete-all')")

    def _take_out(self, connection: sqlite3.Connection, places: Iterable[Place]) -> None:
        """Delete rows, and what is derived from them."""
        known = present(connection)
        # First, for the triggers delete the texts of chunks with these.
        for kind, id in sorted(places, key=lambda place: place[0] != indexed_texts.TABLE):
            if kind in known:  # what is listed as removed is not sealed, and may be anything
                _drop_derived(connection, kind, id)
                connection.execute(f"DELETE FROM {kind} WHERE rowid = ?", (id,))
            self.unread.damaged.discard((kind, id))

    def _fill(self, connection: Connection, own: sqlite3.Connection, rows: Iterable[Row]) -> None:
        """Write rows of a consistent state, in the place of those with their ids."""
        batch: list[Row] = []
        for row in rows:
            if batch and (row.kind != batch[0].kind or len(batch) == _BATCH):
                self._insert(connection, own, batch)
                batch = []
            batch.append(row)
        if batch:
            self._insert(connection, own, batch)

    def _insert(self, connection: Connection, own: sqlite3.Connection, rows: list[Row]) -> None:
        kind = rows[0].kind
        if kind == _SEQUENCE[0]:
            self._sequence = rows[0].values
            own.execute("DELETE FROM sqlite_sequence")
            own.executemany("INSERT INTO sqlite_sequence VALUES (?, ?)", _pairs(rows[0].values))
            return
        if self._watched is not None:
            for row in rows:
                _drop_derived(own, kind, row.id)
        columns, has_id = columns_of(own, kind)
        listed = ", ".join(f'"{name}"' for name in (columns if has_id else ["rowid", *columns]))
        placeholders = ", ".join("?" * (len(columns) + (not has_id)))
        # Where a value that must be unique has moved, a row goes here, and comes in its turn.
        own.executemany(
            f"INSERT OR REPLACE INTO {kind} ({listed}) VALUES ({placeholders})",
            [row.values if has_id else [row.id, *row.values] for row in rows],
        )
        if kind == "sources":
            at = columns.index("metadata")
            metadata_values.write(connection, {row.id: row.values[at] for row in rows})
        if kind == indexed_texts.TABLE:
            own.executemany(
                "INSERT INTO chunk_terms (rowid, terms) VALUES (?, ?)",
                [(row.id, indexed_texts.text_of(row.values[1])) for row in rows],
            )

    def _write_touched(self, connection: sqlite3.Connection, writer: Writer) -> bool:
        kinds = sorted(connection.execute(f"SELECT DISTINCT kind FROM {_TOUCHED}").fetchall())
        # First what is gone: it leaves room for what is written, on a full disk too.
        for (kind,) in kinds:
            gone = connection.execute(
                f"SELECT DISTINCT id FROM {_TOUCHED} WHERE kind = ? "
                f"AND id NOT IN (SELECT rowid FROM {qualified(kind)}) ORDER BY id",
                (kind,),
            )
            self._remove(writer, [(kind, id) for (id,) in gone.fetchall()])
        within = f"rowid IN (SELECT id FROM {_TOUCHED} WHERE kind = ?)"
        for (kind,) in kinds:
            for row, owner in read_rows(connection, kind, within, (kind,)):
                writer.put(row, owner)
        connection.execute(f"DELETE FROM {_TOUCHED}")
        return bool(kinds)

    def _write_all(self, connection: sqlite3.Connection, writer: Writer) -> bool:
        """After a change of the schema, of which each row has other columns."""
        gone = set(writer.places()) - self.unread.damaged - self.unread.shredded - {_SEQUENCE}
        for kind in present(connection):
            for row, owner in read_rows(connection, kind, "true", ()):
                writer.put(row, owner)
                gone.discard((kind, row.id))
        self._remove(writer, sorted(gone))
        if self._watched is not None:
            connection.execute(f"DELETE FROM {_TOUCHED}")
        return True

    def _remove(self, writer: Writer, places: Sequence[Place]) -> None:
        for kind, id in places:
            writer.remove(kind, id)
            if kind == "scopes" or kind in OWN_KEY:
                writer.dismiss((kind, id))

    def _write_sequence(self, connection: sqlite3.Connection, writer: Writer) -> bool:
        found = connection.execute("SELECT name, seq FROM sqlite_sequence ORDER BY name").fetchall()
        values = self._next_sequence = [value for row in found for value in row]
        if values == self._sequence:
            return False
        writer.put(Row(*_SEQUENCE, values), STORE)
        return True


def driver_connection(connection: Connection) -> sqlite3.Connection:
    """The driver's own connection."""
    own = connection.connection.driver_connection
    assert isinstance(own, sqlite3.Connection)
    return own


def _drop_derived(connection: sqlite3.Connection, kind: str, id: int) -> None:
    """Take out what is derived from a row: values of metadata, words of the lexical index."""
    if kind == "sources":
        connection.execute("DELETE FROM metadata_values WHERE source_id = ?", (id,))
    if kind == indexed_texts.TABLE:
        query = f"SELECT text FROM {indexed_texts.TABLE} WHERE id = ?"
        for (text,) in connection.execute(query, (id,)).fetchall():
            connection.execute(
                "INSERT INTO chunk_terms (chunk_terms, rowid, terms) VALUES ('delete', ?, ?)",
                (id, indexed_texts.text_of(text)),
            )


def _pairs(values: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(values[::2], values[1::2], strict=True))
