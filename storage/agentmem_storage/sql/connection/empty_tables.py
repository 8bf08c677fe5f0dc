"""Makes the tables of a new store: of the first in a process by steps, of others as those ended.

Two thirds of the time that opening a new store took went to steps that make, change and drop what
is still empty, and a process may open many of them. So what the steps have made is kept as
statements that make the same tables at once. An encrypted store has its tables made each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

Steps = Sequence[Callable[[Connection], None]]
_Statement = tuple[str, tuple[object, ...]]

# For the steps that have run in this process, what makes the same tables.
_made: dict[tuple[Callable[[Connection], None], ...], list[_Statement]] = {}

_SCHEMA = """
    SELECT name, sql FROM sqlite_master
    WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite!_%' ESCAPE '!'
    ORDER BY type = 'index', rowid
"""


def make(connection: Connection, steps: Steps) -> None:
    """Do what all steps do, in a database without tables.

    Args:
        connection: In a transaction.
        steps: The steps, from the first one on.
    """
    known = _made.get(tuple(steps))
    if known is not None:
        for statement, values in known:
            connection.exec_driver_sql(statement, values)
        return
    of_sqlite = connection.dialect.name == "sqlite"
    empty = of_sqlite and not connection.exec_driver_sql(_SCHEMA).all()
    for step in steps:
        step(connection)
    if empty:
        _made[tuple(steps)] = _as_made(connection)


def _as_made(connection: Connection) -> list[_Statement]:
    """Statements that make the tables of a database, and the rows that the steps have written."""
    schema = [(name, sql) for name, sql in connection.exec_driver_sql(_SCHEMA)]
    application = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    # A virtual table makes those that it consists of.
    virtual = [name for name, sql in schema if sql.startswith("CREATE VIRTUAL TABLE")]
    own = [
        (name, sql) for name, sql in schema if not name.startswith(tuple(f"{v}_" for v in virtual))
    ]
    made: list[_Statement] = [(f"PRAGMA application_id = {application}", ())]
    made += [(sql, ()) for _, sql in own]
    for name, sql in own:
        if sql.startswith("CREATE TABLE"):
            for row in connection.exec_driver_sql(f"SELECT * FROM {name}"):
                marks = ", ".join("?" * len(row))
                made.append((f"INSERT INTO {name} VALUES ({marks})", tuple(row)))
    return made
