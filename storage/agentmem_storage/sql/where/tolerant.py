"""Reads rows by their ids so that a damaged one does not hide the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Result, Row, Select, Table

from agentmem_storage.errors import CorruptRecordError, UnknownIdError
from agentmem_storage.sql.schema.columns import Checked
from agentmem_storage.sql.where.selection import given


def read_tolerantly(
    connection: Connection, statement: Select[Any], ids: Sequence[int]
) -> tuple[list[Row[Any]], dict[int, str]]:
    """Run a statement over given ids.

    Args:
        connection: A transaction.
        statement: It contains `agentmem_storage.sql.where.selection.GIVEN`.
        ids: The ids.

    Returns:
        The rows that can be read; and by id, what is wrong with each of the others.
    """
    try:
        return list(connection.execute(statement, given(ids)).all()), {}
    except CorruptRecordError as error:
        if len(ids) == 1:
            return [], {ids[0]: str(error)}
    middle = len(ids) // 2
    rows, faults = read_tolerantly(connection, statement, ids[:middle])
    more, others = read_tolerantly(connection, statement, ids[middle:])
    return rows + more, faults | others


def intact(result: Result[Any]) -> Iterator[Row[Any]]:
    """The rows of a result that can be read; the check names the others."""
    while True:
        try:
            row = result.fetchone()
        except CorruptRecordError:
            continue
        if row is None:
            return
        yield row


class Salvaged:
    """What is left of a row with values of wrong types: those have neutral ones in their place.

    Attributes:
        id: Its id.
        damage: What is wrong.
    """

    def __init__(self, id: int, damage: str, values: dict[str, Any]) -> None:
        self.id = id
        self.damage = damage
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def salvage(connection: Connection, table: Table, id: int) -> Salvaged:
    """Read a row as it is."""
    names = [column.name for column in table.columns]
    listed = ", ".join(f'"{name}"' for name in names)
    row = connection.exec_driver_sql(f"SELECT {listed} FROM {table.name} WHERE id = ?", (id,)).one()
    values, wrong = {}, []
    for column, value in zip(table.columns, row, strict=True):
        values[column.name] = value
        if isinstance(column.type, Checked) and (fault := column.type.fault(value)) is not None:
            wrong.append(fault)
            values[column.name] = None if column.type.optional else column.type.kind()
    damage = f"row {id} of {table.name!r} is damaged: {'; '.join(wrong)}"
    return Salvaged(id, damage, values)


def require(wanted: Sequence[int], found: Mapping[int, object], what: str) -> None:
    """Check that all wanted rows were found.

    Raises:
        UnknownIdError: Some were not.
    """
    missing = [one for one in wanted if one not in found]
    if missing:
        shown = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise UnknownIdError(f"no {what} has the id {shown}")
