"""The checksum of what a store says about itself: its own row, its schema and the steps it has run.

The flags in that row are left out: one that is set by mistake is acted on, and then cleared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from zlib import crc32

from sqlalchemy import Connection

_OWN = ("id", "store_id", "model", "key_dims", "created_at", "latents", "staged_for", "audited")
# Of a file, which anybody may have altered.
_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
_STEPS = "SELECT id, name FROM migrations ORDER BY id"


def holds(connection: Connection) -> bool:
    """Whether it is as it was written; also if there is nothing to compare it with yet."""
    rows = connection.exec_driver_sql("SELECT sum FROM meta").all()
    return not rows or (len(rows) == 1 and rows[0][0] == _now(connection))


def write(connection: Connection) -> None:
    """Seal the store as it is."""
    connection.exec_driver_sql("UPDATE meta SET sum = ?", (_now(connection),))


def mend(connection: Connection) -> None:
    """Seal the store as it is, with the ids that its own rows have."""
    connection.exec_driver_sql("UPDATE meta SET id = 1")
    steps = connection.exec_driver_sql("SELECT name FROM migrations ORDER BY id").scalars().all()
    connection.exec_driver_sql("DELETE FROM migrations")
    for number, name in enumerate(steps, start=1):
        row = (number, name)
        connection.exec_driver_sql("INSERT INTO migrations (id, name) VALUES (?, ?)", row)
    write(connection)


@contextmanager
def resealed(connection: Connection) -> Iterator[None]:
    """Seal the store again after a change in the block, unless it was damaged before."""
    intact = holds(connection)
    yield
    if intact:
        write(connection)


def _now(connection: Connection) -> int:
    listed = ", ".join(_OWN)
    queries = [f"SELECT {listed} FROM meta", _STEPS]
    if connection.dialect.name == "sqlite":
        queries.append(_SCHEMA)
    parts = [[list(row) for row in connection.exec_driver_sql(query)] for query in queries]
    return crc32(json.dumps(parts, default=repr).encode())
