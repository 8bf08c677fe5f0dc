"""Statements that change rows; each function runs inside a transaction with the write lock.

Ids are assigned here, not by SQLite: under the lock the next one is known, so that rows can be
inserted in bulk. The tables are AUTOINCREMENT nevertheless, so that ids are never reused.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, delete, exists, insert, select, update

from agentmem_storage.errors import UnknownIdError
from agentmem_storage.records import Scope, SourceKey, Written
from agentmem_storage.sql import changes, metadata_values, replaced, terms
from agentmem_storage.sql.duplicates import Known, find, symbol
from agentmem_storage.sql.episodes import assign
from agentmem_storage.sql.former import drop_forgotten, keep_former, note_forgotten
from agentmem_storage.sql.read import scope_id_of, source_chunk_ids, written_sources
from agentmem_storage.sql.rows import SourceRows
from agentmem_storage.sql.selection import id_list
from agentmem_storage.sql.tables import chunk_terms_sizes, chunks, meta, scopes, sources


def add(
    connection: Connection,
    new: Sequence[SourceRows | SourceKey],
    scope: Scope,
    added_at: int,
    *,
    alone: bool,
) -> list[Written]:
    """Write sources, except those that the scope has already.

    Their chunks continue the scope's last episode or start new ones; the lock ensures that
    concurrent writers see the same last episode.

    Args:
        connection: A write transaction.
        new: The sources, in order; of those believed to be known, only the keys.
        scope: The scope they belong to.
        added_at: The current time, in microseconds since 1970.
        alone: Whether the call brings only one source, over all scopes.

    Returns:
        The outcome for each source, in order.

    Raises:
        UnknownIdError: One of which only the key is given is not known.
    """
    keys = [one if isinstance(one, SourceKey) else one.key for one in new]
    scope_id = scope_id_of(connection, scope)
    known = Known([None] * len(keys), frozenset(), Counter())
    if scope_id is not None:
        conversation = scope.session_id is not None
        known = find(
            connection, keys, scope_id, conversation=conversation, alone=alone, now=added_at
        )
    else:
        scope_id = _insert_scope(connection, scope)
    held = known.written(connection)
    next_source = _next_id(connection, sources)
    next_chunk = _next_id(connection, chunks)
    written: list[Written] = []
    fresh: list[Written] = []
    fresh_rows: list[SourceRows] = []
    values: list[dict[str, Any]] = []
    made: dict[object, Written] = {}
    for rows, key, id in zip(new, keys, known.ids, strict=True):
        once = symbol(key) if key.identity in ("hash", "content") else object()
        one = made.get(once) if id is None else held[id]
        if one is None:
            if isinstance(rows, SourceKey):
                raise UnknownIdError("a source that was known has been forgotten in the meantime")
            ids = tuple(range(next_chunk, next_chunk + len(rows.chunks)))
            one = Written(source_id=next_source, chunk_ids=ids, duplicate=False)
            next_source += 1
            next_chunk += len(ids)
            fresh.append(one)
            fresh_rows.append(rows)
            made[once] = Written(one.source_id, one.chunk_ids, duplicate=True)
            values.append(
                {
                    "id": one.source_id,
                    "scope_id": scope_id,
                    "added_at": added_at,
                    "occurrence": known.occurrences[key.content_hash],
                    **rows.source,
                }
            )
            known.occurrences[key.content_hash] += 1
        written.append(one)
    if fresh:
        connection.execute(insert(sources), values)
        metadata_values.write(connection, {row["id"]: row["metadata"] for row in values})
        _insert_chunks(
            connection, fresh, fresh_rows, scope_id, assign(connection, fresh_rows, scope_id)
        )
    return written


def replace(
    connection: Connection, source_id: int, new: SourceRows, old_terms: Mapping[int, str]
) -> Written:
    """Replace the content of a source; it keeps its id, its scope and the time it was added.

    The new chunks belong to the episode of its old first chunk.

    Returns:
        The new chunks; or, with ``duplicate`` set and nothing changed, another source of the scope
        that already has the content, if its identity allows only one.

    Raises:
        UnknownIdError: No source has that id.
    """
    scope_id = connection.scalar(select(sources.c.scope_id).where(sources.c.id == source_id))
    if scope_id is None:
        raise UnknownIdError(f"no source has the id {source_id!r}")
    # Corrected to the same words, a message remains an occurrence of its own.
    known = find(connection, [new.key], scope_id, conversation=True, alone=True, now=0)
    (holder,) = known.ids
    if new.key.identity in ("hash", "content") and holder not in (None, source_id):
        return written_sources(connection, [holder])[holder]
    keep_former(connection, [source_id])
    old = source_chunk_ids(connection, [source_id]).get(source_id, ())
    episode = connection.scalar(
        select(chunks.c.episode).where(chunks.c.source_id == source_id).order_by(chunks.c.ordinal)
    )
    _delete_chunks(connection, old, old_terms)
    replaced.note(connection, old, source_id)
    occurrence = known.occurrences[new.key.content_hash]
    connection.execute(
        update(sources).where(sources.c.id == source_id).values(occurrence=occurrence, **new.source)
    )
    metadata_values.replace(connection, source_id, new.source["metadata"])
    first = _next_id(connection, chunks)
    written = Written(source_id, tuple(range(first, first + len(new.chunks))), duplicate=False)
    _insert_chunks(connection, [written], [new], scope_id, [episode] * len(new.chunks))
    return written


def update_source(connection: Connection, source_id: int, values: Mapping[str, Any]) -> None:
    """Set columns of a source.

    Raises:
        UnknownIdError: No source has that id.
    """
    old = connection.execute(select(sources).where(sources.c.id == source_id)).one_or_none()
    if old is None:
        raise UnknownIdError(f"no source has the id {source_id!r}")
    new = {name: value for name, value in values.items() if old._mapping[name] != value}
    if "metadata" in new:
        keep_former(connection, [source_id])
        metadata_values.replace(connection, source_id, new["metadata"])
    if new:
        connection.execute(update(sources).where(sources.c.id == source_id), new)
        _note_unpurged(connection)


def forget(
    connection: Connection, ids: Sequence[int], texts: Mapping[int, str]
) -> tuple[int, int, bool]:
    """Delete chunks, then sources without chunks, then scopes without sources.

    A source that keeps some of its chunks loses its content hash: it no longer has the content
    that was added. What remains to recognize a replay is described in
    `agentmem_storage.sql.former`.

    Args:
        connection: A write transaction.
        ids: Chunk ids; unknown ones are ignored.
        texts: The text that was indexed for each. If one is missing, the lexical index is marked
            as stale.

    Returns:
        Number of chunks and of sources deleted, and whether a text was missing.
    """
    found = connection.execute(
        select(chunks.c.id, chunks.c.source_id, chunks.c.scope_id)
        .where(chunks.c.id.in_(id_list(ids)))
        .order_by(chunks.c.id)
    ).all()
    if not found:
        return 0, 0, False
    stale = _delete_chunks(connection, [row.id for row in found], texts)
    source_ids = list({row.source_id: None for row in found})
    touched = id_list(source_ids)
    note_forgotten(connection, source_ids)
    has_chunks = exists().where(chunks.c.source_id == sources.c.id)
    gone = connection.execute(delete(sources).where(sources.c.id.in_(touched), ~has_chunks))
    replaced.drop(connection, source_ids)
    metadata_values.drop(connection, source_ids)
    keep_former(connection, source_ids)
    connection.execute(update(sources).where(sources.c.id.in_(touched)).values(content_hash=None))
    scope_ids = {row.scope_id: None for row in found}
    drop_forgotten(connection, scope_ids)
    emptied = id_list(scope_ids)
    has_sources = exists().where(sources.c.scope_id == scopes.c.id)
    connection.execute(delete(scopes).where(scopes.c.id.in_(emptied), ~has_sources))
    return len(found), gone.rowcount, stale


def rebuild_terms(connection: Connection, texts: Mapping[int, str]) -> list[int]:
    """Rebuild the lexical index from texts; those of deleted chunks are ignored.

    The values that filters look up are rebuilt too, from the sources' metadata.

    Returns:
        Ids of chunks without a text, which lexical search does not find.
    """
    present = connection.scalars(select(chunks.c.id).order_by(chunks.c.id)).all()
    terms.clear(connection)
    terms.insert(connection, ((one, texts[one]) for one in present if one in texts))
    terms.optimize(connection)
    metadata_values.rebuild(connection)
    connection.execute(update(meta).values(terms_stale=0))
    _note_unpurged(connection)
    return [one for one in present if one not in texts]


def _note_unpurged(connection: Connection) -> None:
    connection.execute(update(meta).values(unpurged=1 + secrets.randbits(62)))


def _delete_chunks(connection: Connection, ids: Sequence[int], texts: Mapping[int, str]) -> bool:
    """Delete rows and terms of chunks; return whether some terms could not be deleted."""
    rows = connection.scalars(
        select(chunk_terms_sizes.c.id).where(chunk_terms_sizes.c.id.in_(id_list(ids)))
    ).all()
    stale = any(one not in texts for one in rows)
    # Deleting terms that are not indexed would corrupt the index's statistics.
    terms.delete(connection, {one: texts[one] for one in rows if one in texts})
    terms.optimize(connection)
    if stale:
        connection.execute(update(meta).values(terms_stale=1))
    _note_unpurged(connection)
    connection.execute(delete(chunks).where(chunks.c.id.in_(id_list(ids))))
    changes.append(connection, changes.REMOVE, ids)
    return stale


def _insert_chunks(
    connection: Connection,
    written: Sequence[Written],
    new: Sequence[SourceRows],
    scope_id: int,
    episodes: Sequence[int | None],
) -> None:
    rows, texts = [], []
    number = iter(episodes)
    for one, source in zip(written, new, strict=True):
        owner = {"source_id": one.source_id, "scope_id": scope_id}
        for chunk_id, row, text in zip(one.chunk_ids, source.chunks, source.terms, strict=True):
            rows.append({"id": chunk_id, **owner, **row, "episode": next(number)})
            texts.append((chunk_id, text))
    connection.execute(insert(chunks), rows)
    terms.insert(connection, texts)
    changes.append(connection, changes.ADD, [row["id"] for row in rows])


def _insert_scope(connection: Connection, scope: Scope) -> int:
    scope_id = _next_id(connection, scopes)
    words = {"user_id": scope.user_id, "agent_id": scope.agent_id, "session_id": scope.session_id}
    connection.execute(insert(scopes).values(id=scope_id, **words))
    return scope_id


def _next_id(connection: Connection, table: Table) -> int:
    """One above the highest id that the table ever had."""
    last = connection.exec_driver_sql(
        "SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,)
    ).scalar()
    return 1 if last is None else int(last) + 1
