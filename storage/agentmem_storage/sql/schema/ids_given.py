"""The numbers of ids that tables have given so far, of deleted rows too, so that none is reused.

SQLite keeps them for tables with AUTOINCREMENT; in PostgreSQL, triggers keep them in a table of the
same shape.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

_TABLES = {"sqlite": "sqlite_sequence", "postgresql": "ids_given"}


def given(connection: Connection) -> dict[str, int]:
    """The highest id that each table ever had, by its name."""
    found = connection.exec_driver_sql(f"SELECT name, seq FROM {_table(connection)}").all()
    return {name: seq for name, seq in found}


def last(connection: Connection, table: str) -> int:
    """The highest id that a table ever had; 0 if it never had a row."""
    seq = connection.exec_driver_sql(
        f"SELECT seq FROM {_table(connection)} WHERE name = ?", (table,)
    ).scalar()
    return 0 if seq is None else int(seq)


def replace(connection: Connection, numbers: Mapping[str, int]) -> None:
    """Write these numbers in place of all that are there."""
    table = _table(connection)
    connection.exec_driver_sql(f"DELETE FROM {table}")
    rows = list(numbers.items())
    connection.exec_driver_sql(f"INSERT INTO {table} (name, seq) VALUES (?, ?)", rows)


def _table(connection: Connection) -> str:
    return _TABLES[connection.dialect.name]
