"""Statements that change rows; each function runs inside a transaction with the write lock.

Ids are assigned here, not by SQLite: under the lock the next one is known, so that rows can be
inserted in bulk. The tables are AUTOINCREMENT nevertheless, so that ids are never reused.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, delete, exists, insert, select, update

from agentmem_storage.episodes import assign
from agentmem_storage.errors import UnknownIdError
from agentmem_storage.records import Scope, Written
from agentmem_storage.sql import changes, codec, terms
from agentmem_storage.sql.read import (
    find_known,
    last_episode,
    scope_id_of,
    source_chunk_ids,
)
from agentmem_storage.sql.rows import SourceRows
from agentmem_storage.sql.selection import id_list
from agentmem_storage.sql.tables import chunk_terms_sizes, chunks, meta, scopes, sources


def add(
    connection: Connection, new: Sequence[SourceRows], scope: Scope, added_at: int
) -> list[Written]:
    """Write sources, except those whose content already exists in the scope.

    Their chunks continue the scope's last episode or start new ones; the lock ensures that
    concurrent writers see the same last episode.

    Args:
        connection: A write transaction.
        new: The sources, in order.
        scope: The scope they belong to.
        added_at: The current time, in microseconds since 1970.

    Returns:
        The outcome for each source, in order.
    """
    hashes = [rows.source["content_hash"] for rows in new]
    scope_id = scope_id_of(connection, scope)
    known = {} if scope_id is None else find_known(connection, scope_id, hashes)
    if scope_id is None:
        scope_id = _insert_scope(connection, scope)
    next_source = _next_id(connection, sources)
    next_chunk = _next_id(connection, chunks)
    written, fresh, fresh_rows = [], [], []
    for rows, content_hash in zip(new, hashes, strict=True):
        if content_hash not in known:
            ids = tuple(range(next_chunk, next_chunk + len(rows.chunks)))
            one = Written(source_id=next_source, chunk_ids=ids, duplicate=False)
            next_source += 1
            next_chunk += len(ids)
            fresh.append(one)
            fresh_rows.append(rows)
            written.append(one)
            known[content_hash] = Written(one.source_id, one.chunk_ids, duplicate=True)
        else:
            written.append(known[content_hash])
    if fresh:
        values = [
            {"id": one.source_id, "scope_id": scope_id, "added_at": added_at, **rows.source}
            for one, rows in zip(fresh, fresh_rows, strict=True)
        ]
        connection.execute(insert(sources), values)
        episodes = _episodes(connection, fresh_rows, scope_id)
        _insert_chunks(connection, fresh, fresh_rows, scope_id, episodes)
    return written


def replace(
    connection: Connection, source_id: int, new: SourceRows, old_terms: Mapping[int, str]
) -> Written:
    """Replace the content of a source; it keeps its id, its scope and the time it was added.

    The new chunks belong to the episode of its old first chunk.

    Returns:
        The new chunks; or, with ``duplicate`` set and nothing changed, another source of the scope
        that already has the content.

    Raises:
        UnknownIdError: No source has that id.
    """
    scope_id = connection.scalar(select(sources.c.scope_id).where(sources.c.id == source_id))
    if scope_id is None:
        raise UnknownIdError(f"no source has the id {source_id!r}")
    content_hash = new.source["content_hash"]
    holder = find_known(connection, scope_id, [content_hash]).get(content_hash)
    if holder is not None and holder.source_id != source_id:
        return holder
    old = source_chunk_ids(connection, [source_id]).get(source_id, ())
    episode = connection.scalar(
        select(chunks.c.episode).where(chunks.c.source_id == source_id).order_by(chunks.c.ordinal)
    )
    _delete_chunks(connection, old, old_terms)
    connection.execute(update(sources).where(sources.c.id == source_id).values(**new.source))
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
    if new:
        connection.execute(update(sources).where(sources.c.id == source_id), new)
        _note_unpurged(connection)


def forget(
    connection: Connection, ids: Sequence[int], texts: Mapping[int, str]
) -> tuple[int, int, bool]:
    """Delete chunks, then sources without chunks, then scopes without sources.

    A source that keeps some of its chunks loses its content hash: it no longer has the content
    that was added, so adding that again is not a duplicate.

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
    touched = id_list({row.source_id: None for row in found})
    has_chunks = exists().where(chunks.c.source_id == sources.c.id)
    gone = connection.execute(delete(sources).where(sources.c.id.in_(touched), ~has_chunks))
    connection.execute(update(sources).where(sources.c.id.in_(touched)).values(content_hash=None))
    emptied = id_list({row.scope_id: None for row in found})
    has_sources = exists().where(sources.c.scope_id == scopes.c.id)
    connection.execute(delete(scopes).where(scopes.c.id.in_(emptied), ~has_sources))
    return len(found), gone.rowcount, stale


def rebuild_terms(connection: Connection, texts: Mapping[int, str]) -> list[int]:
    """Rebuild the lexical index from texts; those of deleted chunks are ignored.

    Returns:
        Ids of chunks without a text, which lexical search does not find.
    """
    present = connection.scalars(select(chunks.c.id).order_by(chunks.c.id)).all()
    terms.clear(connection)
    terms.insert(connection, ((one, texts[one]) for one in present if one in texts))
    terms.optimize(connection)
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


def _episodes(connection: Connection, new: Sequence[SourceRows], scope_id: int) -> list[int]:
    """The episodes of new chunks, in order."""
    blobs = [row["key"] for source in new for row in source.chunks]
    times = [source.source["created_at"] for source in new for _ in source.chunks]
    # Decoded as they will be read back, so that one write and several give the same episodes.
    embeddings = codec.decode_embeddings(blobs, range(len(blobs)))
    last = last_episode(connection, scope_id, embeddings.shape[1])
    return assign(last, zip(embeddings, times, strict=True))


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
