"""What remains of the former content of sources, so that a replay of it is recognized.

Of an updated or partly forgotten source, a fingerprint of its first content stays in its row. Of a
forgotten one, the table ``forgotten`` keeps its place in the conversation and the fingerprint,
until the last source of its scope is forgotten. A fingerprint is a keyed hash of 64 bits: no text
can be read from it, but whoever has the file can test a guess. Documents are no part of a
conversation, and nothing of them stays; nor of a source with an id of the caller's, which
alone says what it is. A source whose row is damaged is not recognized.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, delete, exists, func, insert, select, update

from agentmem_storage.records import Scope
from agentmem_storage.sql.schema import row_sums
from agentmem_storage.sql.schema.tables import chunks, forgotten, meta, scopes, sources
from agentmem_storage.sql.where.selection import GIVEN, id_list, scope_conditions
from agentmem_storage.sql.where.tolerant import read_tolerantly

_FINGERPRINT_BYTES = 8
_ANY = select(
    exists().where(sources.c.scope_id == bindparam("scope_id"), sources.c.former.is_not(None))
    | exists().where(forgotten.c.scope_id == bindparam("scope_id"))
)
# Statements are built once: made anew, those with a subquery leave reference cycles.
_FIRST = select(sources.c.id, sources.c.content_hash).where(
    sources.c.id.in_(GIVEN),
    sources.c.former.is_(None),
    sources.c.content_hash.is_not(None),
    sources.c.kind != "document",
    sources.c.external_id.is_(None),
)
_EMPTIED = select(
    sources.c.id,
    sources.c.scope_id,
    sources.c.created_at,
    sources.c.added_at,
    sources.c.content_hash,
    sources.c.former,
).where(
    sources.c.id.in_(GIVEN),
    sources.c.kind != "document",
    sources.c.external_id.is_(None),
    sources.c.former.is_not(None) | sources.c.content_hash.is_not(None),
    ~exists().where(chunks.c.source_id == sources.c.id),
)
_NO_SOURCE = ~exists().where(sources.c.scope_id == forgotten.c.scope_id)


class Fingerprints:
    """Makes the fingerprints of one store."""

    def __init__(self, connection: Connection) -> None:
        self._key = str(connection.scalar(select(meta.c.store_id))).encode()

    def of(self, content_hash: bytes) -> bytes:
        """The fingerprint of a content."""
        keyed = hashlib.blake2b(content_hash, key=self._key[:64], digest_size=_FINGERPRINT_BYTES)
        return keyed.digest()


def any_former(connection: Connection, scope_id: int) -> bool:
    """Whether anything of a scope was updated or forgotten."""
    return bool(connection.scalar(_ANY, {"scope_id": scope_id}))


def keep_former(connection: Connection, source_ids: Sequence[int]) -> None:
    """Before they change, note the first content of sources."""
    rows, _ = read_tolerantly(connection, _FIRST, source_ids)
    if rows:
        prints = Fingerprints(connection)
        connection.execute(
            update(sources).where(sources.c.id == bindparam("one")).values(former=bindparam("now")),
            [{"one": row.id, "now": prints.of(row.content_hash)} for row in rows],
        )


def note_forgotten(connection: Connection, source_ids: Sequence[int]) -> None:
    """Before they are deleted, note the places of those sources that have no chunks left."""
    rows, _ = read_tolerantly(connection, _EMPTIED, source_ids)
    if rows:
        prints = Fingerprints(connection)
        places = [dict(row._mapping) for row in rows]
        for place in places:
            content_hash = place.pop("content_hash")
            place["former"] = place["former"] or prints.of(content_hash)
        connection.execute(
            insert(forgotten), [row_sums.summed(forgotten, place) for place in places]
        )


def count_forgotten(connection: Connection, scope: Scope) -> int:
    """How many places of forgotten messages there are in a scope."""
    query = select(func.count()).select_from(forgotten)
    if conditions := scope_conditions(scope):
        query = query.where(forgotten.c.scope_id.in_(select(scopes.c.id).where(*conditions)))
    return int(connection.scalar(query) or 0)


def drop_forgotten(connection: Connection, scope_ids: Iterable[int]) -> None:
    """Delete what was noted of scopes that have no source any more."""
    listed = forgotten.c.scope_id.in_(id_list(scope_ids))
    connection.execute(delete(forgotten).where(listed, _NO_SOURCE))
