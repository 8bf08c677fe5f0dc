"""The tables of an encrypted store: which are kept in its file, and whose key seals a row."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final

from agentmem_storage.encryption.layout import STORE, Owner, Row
from agentmem_storage.sql.lexical import indexed_texts

# Whose key seals a row, as SQL that gives the id of its scope; None for that of the store, which
# seals nothing that was said, and would seal tables that are not listed here or in `DERIVED`.
SCOPES: Final[dict[str, str | None]] = {
    "migrations": None,
    "meta": None,
    "scopes": "id",
    "sources": "scope_id",
    "forgotten": "scope_id",
    "chunks": "scope_id",
    "staged": "(SELECT scope_id FROM chunks WHERE chunks.id = chunk_id)",
    # Its scope may be gone: each row has a key of its own.
    "quarantine": None,
    "replaced": None,
    "links": None,
    "changes": None,
    # It is there to outlive what it tells of.
    "audit": None,
    "indexed_texts": "(SELECT scope_id FROM chunks WHERE chunks.id = indexed_texts.id)",
}
DERIVED: Final = ("metadata_values", "chunk_terms", "totals")
# Tables whose rows have a key each.
OWN_KEY: Final = ("quarantine",)


def present(connection: sqlite3.Connection) -> list[str]:
    """The tables that are kept, as far as the schema has them."""
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    there = [name for (name,) in names if not name.startswith(("sqlite_", *DERIVED))]
    return [*there, indexed_texts.TABLE]


def qualified(table: str) -> str:
    """The name of a table with that of its database."""
    return f"temp.{table}" if table == indexed_texts.TABLE else f"main.{table}"


def columns_of(connection: sqlite3.Connection, table: str) -> tuple[list[str], bool]:
    """The names of the columns, and whether one of them is the id of the row itself."""
    rows = connection.execute(f"PRAGMA table_info({table})").fetchall()
    keys = [str(row[2]).upper() for row in rows if row[5]]
    return [row[1] for row in rows], keys == ["INTEGER"]


def steps_run(connection: sqlite3.Connection) -> int:
    """How many steps of the schema the tables have."""
    there = "SELECT 1 FROM sqlite_master WHERE name = 'migrations'"
    if connection.execute(there).fetchone() is None:
        return 0
    return int(connection.execute("SELECT count(*) FROM migrations").fetchone()[0])


def read_rows(
    connection: sqlite3.Connection, kind: str, within: str, values: Sequence[Any]
) -> Iterator[tuple[Row, Owner]]:
    """Rows of a table, each with what its key is for."""
    scope = SCOPES.get(kind) or "NULL"
    query = f"SELECT rowid, {scope}, * FROM {kind} WHERE {within} ORDER BY rowid"
    for id, scope_id, *columns in connection.execute(query, values):
        owner: Owner = STORE
        if kind in OWN_KEY:
            owner = (kind, id)
        elif SCOPES.get(kind) is not None and isinstance(scope_id, int):
            owner = ("scopes", scope_id)
        yield Row(kind, id, columns), owner
