"""The ids that callers give to sources: one of each in a scope.

What is added under the id of a source is the same if content and time are equal. Otherwise it takes
the place of the former content, as `agentmem_storage.sql.writing.write.replace` does it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select, type_coerce, update
from sqlalchemy.types import NullType

from agentmem_storage.errors import InputError, UnknownIdError
from agentmem_storage.metadata import metadata_json
from agentmem_storage.records import Scope, SourceKey
from agentmem_storage.sql.schema import sums
from agentmem_storage.sql.schema.tables import scopes, sources
from agentmem_storage.sql.where.expiry import has_expired
from agentmem_storage.sql.where.selection import id_list, scope_conditions, text_list
from agentmem_storage.text import shown
from agentmem_storage.timestamps import to_micros

# As they are: a damaged row has its id nevertheless.
_HELD = select(
    sources.c.id,
    sources.c.external_id,
    *(
        type_coerce(sources.c[name], NullType()).label(name)
        for name in ("content_hash", "metadata", "created_at", "expires_at")
    ),
)


class Held(NamedTuple):
    """What a scope has under an external id, as the row says it."""

    id: int
    content_hash: object
    metadata: object
    created_at: object
    expires_at: object

    def equals(self, key: SourceKey) -> bool:
        """Whether what is added under its id has the same content and, if one is given, time."""
        if self.content_hash != key.content_hash:
            return False
        return key.created_at is None or self.created_at == to_micros(key.created_at, "created_at")

    def changed(self, key: SourceKey) -> dict[str, Any]:
        """The columns that differ, with their new values, of those beside content and time."""
        new: dict[str, Any] = {}
        metadata = metadata_json(key.metadata)
        if self.metadata != metadata and _canonical(self.metadata) != _canonical(metadata):
            new["metadata"] = metadata
        if self.expires_at != (expires_at := as_micros(key)):
            new["expires_at"] = expires_at
        return new


def as_micros(key: SourceKey) -> int | None:
    """When a new source expires, in microseconds since 1970; None for never."""
    return None if key.expires_at is None else to_micros(key.expires_at, "expires_at")


def held(connection: Connection, scope_id: int, ids: Sequence[str], now: int) -> dict[str, Held]:
    """What a scope has under external ids, without what has expired."""
    if not ids:
        return {}
    query = _HELD.where(
        sources.c.external_id.in_(text_list(ids)), sources.c.scope_id == scope_id, ~has_expired(now)
    )
    return {row.external_id: _held(row) for row in connection.execute(query)}


def held_by_id(connection: Connection, source_id: int) -> list[Held]:
    """What there is of a source, as the row says it."""
    rows = connection.execute(_HELD.where(sources.c.id == source_id))
    return [_held(row) for row in rows]


def release(connection: Connection, scope_id: int, ids: Sequence[str], now: int) -> None:
    """Take their external ids from sources that have expired, so that others may have them."""
    if not ids:
        return
    query = select(sources.c.id).where(
        sources.c.external_id.in_(text_list(ids)), sources.c.scope_id == scope_id, has_expired(now)
    )
    gone = list(connection.scalars(query))
    if gone:
        damaged = sums.damaged(connection, gone)
        # The hash is that of a content with the id.
        without = update(sources).values(external_id=None, content_hash=None)
        connection.execute(without.where(sources.c.id.in_(id_list(gone))))
        sums.write(connection, gone, damaged=damaged)


def resolve(
    connection: Connection, scope: Scope, ids: Sequence[str], now: int | None
) -> Mapping[str, int]:
    """The sources that a scope has under external ids.

    Args:
        connection: A transaction.
        scope: The scope, of which an id that is not given may be any.
        ids: The external ids.
        now: What has expired by this time is unknown; None for what is expired too.

    Raises:
        UnknownIdError: There is none for an id.
        InputError: There are several for an id, in several scopes.
    """
    query = select(sources.c.external_id, sources.c.id).where(
        sources.c.external_id.in_(text_list(ids))
    )
    if conditions := scope_conditions(scope):
        query = query.where(sources.c.scope_id.in_(select(scopes.c.id).where(*conditions)))
    if now is not None:
        query = query.where(~has_expired(now))
    found: dict[str, int] = {}
    for external_id, id in connection.execute(query):
        if external_id in found:
            raise InputError(
                f"several scopes have the external id {shown(external_id)}: say whose it is, with "
                f"user_id=, agent_id= or session_id="
            )
        found[external_id] = id
    for external_id in ids:
        if external_id not in found:
            raise UnknownIdError(
                f"no memory of this scope has the external id {shown(external_id)}"
            )
    return found


def _held(row: Row[Any]) -> Held:
    return Held(row.id, row.content_hash, row.metadata, row.created_at, row.expires_at)


def _canonical(metadata: object) -> str | None:
    """Metadata as they are stored, whatever the order of their keys; None for damaged ones."""
    try:
        return json.dumps(json.loads(metadata or b"{}"), sort_keys=True)  # type: ignore[arg-type]
    except (TypeError, ValueError, RecursionError):
        return None
