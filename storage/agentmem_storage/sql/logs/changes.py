"""The change log, which a vector index replays to catch up with the rows.

Only one process writes at a time, so change numbers ascend in commit order. The last change of each
write carries a random stamp: number and stamp together distinguish a state of this store from one
of another history, for example after the database was restored from a backup.

Only the last changes are kept. An index that is further behind is rebuilt from the rows.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from sqlalchemy import Connection, delete, func, insert, select

from agentmem_storage.sql.schema import ids_given, row_sums
from agentmem_storage.sql.schema.tables import changes, chunks, scopes, sources

ADD = 1
REMOVE = 0
# An index that is further behind takes about as long to replay as to rebuild.
KEPT = 20_000
_STAMP_BITS = 24
# How many more ids than those that are known may have been given, in a log that is made again.
_LEAP = 2**32
# By table, where ids that it has given may stand.
_IDS = {
    "scopes": (("scopes", "id"), ("forgotten", "scope_id")),
    "sources": (("sources", "id"), ("forgotten", "id"), ("replaced", "source_id")),
    "chunks": (
        ("chunks", "id"),
        ("changes", "chunk_id"),
        ("replaced", "chunk_id"),
        ("quarantine", "chunk_id"),
    ),
    "changes": (("changes", "seq"),),
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A state of the store: its last change, and that change's stamp."""

    seq: int = 0
    stamp: int = 0

    def packed(self) -> int:
        """Number and stamp as one integer."""
        return self.seq << _STAMP_BITS | self.stamp

    @classmethod
    def unpack(cls, number: int) -> Mark:
        """The inverse of `packed`."""
        return cls(number >> _STAMP_BITS, number & ((1 << _STAMP_BITS) - 1))


def append(connection: Connection, op: int, chunk_ids: Sequence[int]) -> None:
    """Log that chunks were added or removed, and drop the changes before the last `KEPT`."""
    if not chunk_ids:
        return
    given = ids_given.given(connection)
    first = given.get(changes.name, 0) + 1
    rows: list[dict[str, Any]] = [
        {"seq": first + number, "op": op, "chunk_id": id, "stamp": None, "counters": None}
        for number, id in enumerate(chunk_ids)
    ]
    rows[-1] |= {"stamp": secrets.randbits(_STAMP_BITS), "counters": _counted(given)}
    connection.execute(insert(changes), [row_sums.summed(changes, row) for row in rows])
    connection.execute(delete(changes).where(changes.c.seq <= rows[-1]["seq"] - KEPT))


def counters_hold(connection: Connection) -> bool:
    """Whether the numbers of ids given are those of the last change; True without one."""
    given = ids_given.given(connection)
    last = connection.exec_driver_sql(
        "SELECT seq, counters FROM changes ORDER BY seq DESC LIMIT 1"
    ).one_or_none()
    if last is None:
        return not given.get(changes.name)
    return given.get(changes.name) == last[0] and last[1] in (None, _counted(given))


def _counted(given: Mapping[str, object]) -> int:
    counted = [[name, given.get(name)] for name in (scopes.name, sources.name, chunks.name)]
    return crc32(json.dumps(counted, default=repr).encode())


def begin_again(connection: Connection) -> None:
    """Write the log anew from what is there, and the numbers of ids given at least as high.

    Indexes that follow it are made anew, because it is another history.
    """
    # Only SQLite has columns with values of other types, in damaged rows.
    whole = " WHERE typeof({0}) = 'integer'" if connection.dialect.name == "sqlite" else ""
    highest: dict[str, int] = {}
    for table, columns in _IDS.items():
        for source, column in columns:
            query = f"SELECT max({column}) FROM {source}{whole.format(column)}"
            found = connection.exec_driver_sql(query).scalar() or 0
            highest[table] = max(highest.get(table, 0), int(found))
    known = ids_given.given(connection)
    numbers = {}
    for table, least in highest.items():
        held = known.get(table)
        # One that is absurdly high is damage too: ids have 63 bits.
        sound = isinstance(held, int) and least <= held < least + _LEAP
        numbers[table] = held if isinstance(held, int) and sound else least
    ids_given.replace(connection, numbers)
    connection.execute(delete(changes))
    append(connection, ADD, list(connection.scalars(select(chunks.c.id).order_by(chunks.c.id))))


def newest(connection: Connection) -> Mark:
    """The state a transaction sees."""
    statement = select(changes.c.seq, changes.c.stamp).order_by(changes.c.seq.desc()).limit(1)
    row = connection.execute(statement).one_or_none()
    return Mark() if row is None else Mark(row.seq, row.stamp)


def reaches(connection: Connection, mark: Mark) -> bool:
    """Whether this store has been in that state, and the changes since are still logged."""
    if mark.seq == 0:
        first = connection.scalar(select(func.min(changes.c.seq)))
        return first is None or first == 1
    statement = select(changes.c.stamp).where(changes.c.seq == mark.seq)
    return bool(connection.scalar(statement) == mark.stamp)


def after(connection: Connection, mark: Mark) -> Iterator[tuple[int, int]]:
    """Changes since a state, oldest first, as (operation, chunk id)."""
    statement = (
        select(changes.c.op, changes.c.chunk_id)
        .where(changes.c.seq > mark.seq)
        .order_by(changes.c.seq)
    )
    for row in connection.execute(statement):
        yield row.op, row.chunk_id


def changed(connection: Connection, mark: Mark) -> tuple[list[int], list[int]]:
    """Ids of the chunks that were added since a state, and of those removed, each ascending."""
    # Only the last change of a chunk matters, because ids are never reused.
    last = {chunk_id: op for op, chunk_id in after(connection, mark)}
    added = sorted(chunk_id for chunk_id, op in last.items() if op == ADD)
    return added, sorted(chunk_id for chunk_id, op in last.items() if op == REMOVE)
