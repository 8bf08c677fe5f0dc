"""The change log, which a vector index replays to catch up with the rows.

Only one process writes at a time, so change numbers ascend in commit order. The last change of each
write carries a random stamp: number and stamp together distinguish a state of this store from one
of another history, for example after the database was restored from a backup.

Only the last changes are kept. An index that is further behind is rebuilt from the rows.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from agentmem_storage.sql.tables import changes

ADD = 1
REMOVE = 0
# An index that is further behind takes about as long to replay as to rebuild.
KEPT = 20_000
_STAMP_BITS = 24


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
    rows = [{"op": op, "chunk_id": chunk_id, "stamp": None} for chunk_id in chunk_ids]
    stamped = {"op": op, "chunk_id": chunk_ids[-1], "stamp": secrets.randbits(_STAMP_BITS)}
    connection.execute(insert(changes), [*rows[:-1], stamped])
    connection.execute(delete(changes).where(changes.c.seq <= newest(connection).seq - KEPT))


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
