"""The texts of the lexical index of an encrypted store, which is built in memory at each opening.

A contentless index cannot say what was indexed, so the texts are kept beside it, compressed. They
are in a temporary table, which is part of the connection; other stores have no such table.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final
from zlib import compress, decompress

from sqlalchemy import Connection

TABLE: Final = "indexed_texts"
_KEPT = "agentmem_indexed_texts"
_FAST = 1


def keep_from_now_on(connection: sqlite3.Connection, info: dict[str, object]) -> None:
    """Keep what is indexed over a connection.

    Args:
        connection: The connection.
        info: What SQLAlchemy keeps beside it.
    """
    connection.execute(f"CREATE TEMP TABLE {TABLE} (id INTEGER PRIMARY KEY, text BLOB NOT NULL)")
    info[_KEPT] = True


def note(connection: Connection, rows: Sequence[tuple[int, str]]) -> None:
    """Keep the texts of chunks that were indexed, by their ids."""
    if _KEPT in connection.info:
        kept = [(id, compress(text.encode(), _FAST)) for id, text in rows]
        connection.exec_driver_sql(f"INSERT OR REPLACE INTO {TABLE} VALUES (?, ?)", kept)


def drop(connection: Connection, ids: Iterable[int]) -> None:
    """Forget the texts of chunks that are indexed no more."""
    if _KEPT in connection.info and (rows := [(id,) for id in ids]):
        connection.exec_driver_sql(f"DELETE FROM {TABLE} WHERE id = ?", rows)


def clear(connection: Connection) -> None:
    """Forget all texts."""
    if _KEPT in connection.info:
        connection.exec_driver_sql(f"DELETE FROM {TABLE}")


def text_of(kept: bytes) -> str:
    """A text, from the column of its row."""
    return decompress(kept).decode()
