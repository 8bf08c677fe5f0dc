"""Checksums of rows that are written once, in a column of their own named ``sum``.

Of tables beside sources and chunks: what they say stands nowhere else, and a bit that has flipped
there would make a forgotten message come back, or an index miss a memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

from sqlalchemy import Connection, Table, delete, type_coerce
from sqlalchemy.types import NullType

SUM = "sum"


def summed(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row to be inserted, with its checksum; columns that are left out are NULL."""
    return {**row, SUM: _of(table.name, [row.get(name) for name in _names(table)])}


def damaged(connection: Connection, table: Table) -> list[tuple[Any, ...]]:
    """The primary keys of the rows that do not match their checksums."""
    keys = [table.columns.keys().index(column.name) for column in table.primary_key]
    names = _names(table)
    indices = [table.columns.keys().index(name) for name in names]
    own = table.columns.keys().index(SUM)
    return [
        tuple(row[place] for place in keys)
        for row in _raw(connection, table)
        if row[own] != _of(table.name, [row[place] for place in indices])
    ]


def drop_damaged(connection: Connection, table: Table) -> int:
    """Delete the rows that do not match their checksums; how many they were."""
    keys = damaged(connection, table)
    for key in keys:
        # As they are, for damaged keys may be of any type.
        own = zip(table.primary_key, key, strict=True)
        same = (type_coerce(column, NullType()).is_not_distinct_from(one) for column, one in own)
        connection.execute(delete(table).where(*same))
    return len(keys)


def write_all(connection: Connection, table: Table) -> None:
    """Write the checksums of all rows, as they are."""
    keys = [column.name for column in table.primary_key]
    at = [table.columns.keys().index(name) for name in keys]
    indices = [table.columns.keys().index(name) for name in _names(table)]
    where = " AND ".join(f'"{name}" = ?' for name in keys)
    rows = [
        (_of(table.name, [row[place] for place in indices]), *(row[place] for place in at))
        for row in _raw(connection, table)
    ]
    if rows:
        connection.exec_driver_sql(f"UPDATE {table.name} SET {SUM} = ? WHERE {where}", rows)


def _names(table: Table) -> list[str]:
    return [name for name in table.columns.keys() if name != SUM]  # noqa: SIM118


def _raw(connection: Connection, table: Table) -> Sequence[tuple[Any, ...]]:
    """Rows as they are: neither the types of damaged values nor their encoding is an obstacle."""
    listed = ", ".join(f'"{name}"' for name in table.columns.keys())  # noqa: SIM118
    return [tuple(row) for row in connection.exec_driver_sql(f"SELECT {listed} FROM {table.name}")]


def _of(table: str, values: Sequence[Any]) -> int:
    return crc32(json.dumps([table, *values], default=_plain).encode())


def _plain(value: object) -> dict[str, str]:
    """Bytes in JSON, told from text."""
    assert isinstance(value, bytes)
    return {"bytes": value.hex()}
