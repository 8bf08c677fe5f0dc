"""Sources that have expired: in no result from that moment on, and erased by a later call.

Few stores have any, so a transaction first asks whether there are. Only then are queries given the
condition, which looks the expired ones up in an index of their own.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Integer,
    Select,
    bindparam,
    exists,
    select,
)

from agentmem_storage.sql.schema.tables import sources

# Whether any has expired by the time that the parameter ``now`` is.
ANY_EXPIRED = exists().where(sources.c.expires_at <= bindparam("now", type_=Integer))
_ANY = select(ANY_EXPIRED)


def moment(connection: Connection, now: int) -> int | None:
    """The time by which sources have expired; None if none has.

    Args:
        connection: A transaction.
        now: The current time, in microseconds since 1970.
    """
    return now if connection.scalar(_ANY, {"now": now}) else None


def expired_ids(now: int) -> Select[tuple[int]]:
    """The ids of the sources that have expired."""
    # Uncorrelated: it is made once, however many rows it is compared with.
    return select(sources.c.id).where(sources.c.expires_at <= now).correlate(None)


def has_expired(now: int | BindParameter[int]) -> ColumnElement[bool]:
    """Whether a row of the table of sources has expired; never NULL."""
    return sources.c.expires_at.is_not(None) & (sources.c.expires_at <= now)


def is_alive(source_id: ColumnElement[Any], now: int) -> ColumnElement[bool]:
    """Whether a row that names a source is of one that has not expired."""
    return source_id.not_in(expired_ids(now))
