"""Support for tests of encrypted stores: opening, looking behind their backs, and damaging them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from agentmem_storage.encryption.cipher import make_cipher, seal
from agentmem_storage.encryption.master import Key
from agentmem_storage.records import EVERYTHING, NewSource, Scope, Selection
from agentmem_storage.sql.sealed import mirror
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source

KEY = bytes(range(32))
ANA, BEN = Scope("ana@example.org"), Scope("ben@example.org", session_id="session twelve")
# All that is written of a source and could be read, each long enough to be nowhere by chance.
TEXT = "Zanzibar-Express leaves platform seventeen"
SAID: dict[str, Any] = {
    "name": "Wilhelmina",
    "title": "Timetable of the Usambara line",
    "uri": "file:usambara-timetable.md",
    "external_id": "booking-4711-usambara",
    "metadata": {"carriage-number": "dining-car-nine"},
}
TRACES = (
    *("Zanzibar", "zanzibar", "platform", "seventeen", "Wilhelmina", "Usambara", "usambara"),
    *("booking-4711", "carriage", "dining-car", "ana@example", "ben@example", "session twelve"),
)


def open_store(folder: Path, key: Key | None = KEY, **options: Any) -> Store:
    options = {"model": MODEL, "embedding_dims": EMBEDDING_DIMS, "index": "exact", **options}
    return Store.open(folder, key=key, timeout_s=240.0, **options)


def source(text: str = TEXT, **fields: Any) -> NewSource:
    return make_source(text, **{**SAID, **fields})


def traces_in(folder: Path) -> set[str]:
    """What can be read in any file below a folder."""
    found = set()
    for file in folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            found |= {f"{one} in {file.name}" for one in TRACES if one.encode() in content}
    return found


def edit(folder: Path, statement: str, values: tuple[Any, ...] = ()) -> None:
    """Change the file behind the store's back."""
    with closing(sqlite3.connect(folder / "encrypted.db")) as connection, connection:
        connection.execute(statement, values)


def tables(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """All that the tables of an open store have, the derived ones too."""
    with store._database.read() as connection:
        own = mirror.driver_connection(connection)
        names = [row[0] for row in own.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        found = {
            name: sorted(own.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
            for name in names
            if not name.startswith("chunk_terms")
        }
        found["indexed_texts"] = own.execute("SELECT * FROM indexed_texts ORDER BY 1").fetchall()
        own.execute("CREATE VIRTUAL TABLE temp.v USING fts5vocab(main, chunk_terms, instance)")
        found["words"] = own.execute("SELECT doc, offset, term FROM v ORDER BY 1, 2").fetchall()
        own.execute("DROP TABLE temp.v")
        return found


def source_ids(store: Store, selection: Selection = EVERYTHING) -> list[int]:
    return sorted({one.source_id for one in store.chunks(store.ids(selection))})


def held(folder: Path, kind: str) -> list[int]:
    """Ids of the rows of a table that the file has, readable or not."""
    with closing(sqlite3.connect(folder / "encrypted.db")) as connection:
        query = "SELECT id FROM rows WHERE kind = ? ORDER BY id"
        return [row[0] for row in connection.execute(query, (kind,))]


def keys_of(folder: Path) -> list[bool]:
    """Which keys of a ring there are, by id; a tombstone seals nothing."""
    with closing(sqlite3.connect(folder / "keys.db")) as connection:
        rows = connection.execute("SELECT length(wrapped) FROM keys").fetchall()
    return [length > len(seal(make_cipher(KEY), b"", b"")) for (length,) in rows]
