"""Statements that change rows; each function runs inside a transaction with the write lock.

Ids are assigned here, not by SQLite: under the lock the next one is known, so that rows can be
inserted in bulk. The tables are AUTOINCREMENT nevertheless, so that ids are never reused.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select, update

from agentmem_storage.errors import ChangedError, InputError, UnknownIdError
from agentmem_storage.records import Scope, SourceKey, SourceRecord, Written
from agentmem_storage.sql.logs import audit, replaced
from agentmem_storage.sql.logs.former import keep_former
from agentmem_storage.sql.reading.episodes import assign
from agentmem_storage.sql.reading.sources import (
    read_sources,
    scope_id_of,
    source_chunk_ids,
    written_sources,
)
from agentmem_storage.sql.schema import sums, vector_sums
from agentmem_storage.sql.schema.rows import SourceRows
from agentmem_storage.sql.schema.tables import chunks, sources
from agentmem_storage.sql.where import metadata_values
from agentmem_storage.sql.writing import external, links
from agentmem_storage.sql.writing.deletion import delete_chunks, note_unpurged
from agentmem_storage.sql.writing.duplicates import Known, find, symbol
from agentmem_storage.sql.writing.inserts import insert_chunks, insert_scope, next_id, scope_words
from agentmem_storage.text import shown

# Columns that a new source leaves empty.
_UNSAID = {"former": None}
# Those that one may have changed, of a source whose text is replaced.
_CHANGING = select(sources.c.title, sources.c.created_at, sources.c.metadata)


def add(
    connection: Connection,
    new: Sequence[SourceRows | SourceKey],
    scope: Scope,
    added_at: int,
    *,
    alone: bool,
    old_terms: Mapping[int, str | None],
) -> list[Written]:
    """Write sources, except those that the scope has already.

    One with an external id that the scope has takes the place of what is there. The chunks of new
    ones continue the scope's last episode or start new ones; the lock ensures that concurrent
    writers see the same last episode.

    Args:
        connection: A write transaction.
        new: The sources, in order; of those believed to be known, only the keys.
        scope: The scope they belong to.
        added_at: The current time, in microseconds since 1970.
        alone: Whether the call brings only one source, over all scopes.
        old_terms: By chunk id, the text that was indexed for those that are replaced; None where
            it is not known, and the lexical index is then marked as stale.

    Returns:
        The outcome for each source, in order.

    Raises:
        UnknownIdError: One of which only the key is given is not known.
        InputError: Two have one external id.
        ChangedError: What is to be replaced is not what was seen before.
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
        scope_id = insert_scope(connection, scope)
    held = known.written(connection)
    for prolonged, expires_at in known.prolonged.items():
        update_source(connection, prolonged, {"expires_at": expires_at}, now=added_at)
    named = [key.external_id for key in keys if key.external_id is not None]
    if len(set(named)) < len(named):
        raise InputError(f"one call brings two sources with one external id, among {shown(named)}")
    external.release(connection, scope_id, named, added_at)
    for at, found in enumerate(known.ids):
        if found is not None and keys[at].external_id is not None:
            held[found] = _put(connection, held[found], new[at], old_terms, added_at)
    next_source = next_id(connection, sources)
    next_chunk = next_id(connection, chunks)
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
        episodes = assign(connection, fresh_rows, scope_id)
        chunk_rows = _chunk_rows(fresh, fresh_rows, scope_id, episodes)
        for value, own in zip(values, chunk_rows, strict=True):
            value["vectors_sum"] = vector_sums.of_chunks(own)
            value["sums"] = sums.of_source(
                {**scope_words(scope), **_UNSAID, **value},
                ([row[name] for name in sums.CHUNK_FIELDS] for row in own),
            )
        connection.execute(insert(sources), values)
        metadata_values.write(connection, {row["id"]: row["metadata"] for row in values})
        insert_chunks(
            connection,
            [row for own in chunk_rows for row in own],
            [text for rows in fresh_rows for text in rows.terms],
        )
        audit.note(connection, "added", [one.source_id for one in fresh], added_at)
    return written


def _put(
    connection: Connection,
    stored: Written,
    new: SourceRows | SourceKey,
    old_terms: Mapping[int, str | None],
    now: int,
) -> Written:
    """Write what is new under the external id of a stored source, if it differs.

    Raises:
        ChangedError: It differs, and only the key is given; or its old words are not.
    """
    key = new if isinstance(new, SourceKey) else new.key
    if not stored.replaced:
        (held,) = external.held_by_id(connection, stored.source_id)
        changed = held.changed(key)
        if not changed:
            return stored
        update_source(connection, stored.source_id, changed, now=now)
        return dataclasses.replace(stored, replaced=True)
    if isinstance(new, SourceKey) or not all(id in old_terms for id in stored.chunk_ids):
        raise ChangedError("what has that external id was changed in the meantime")
    if key.created_at is None:
        kept = select(sources.c.created_at).where(sources.c.id == stored.source_id)
        new = dataclasses.replace(new, source={**new.source, "created_at": connection.scalar(kept)})
    known = {id: text for id, text in old_terms.items() if text is not None}
    put = replace(connection, stored.source_id, new, known, now=now)
    return dataclasses.replace(put, replaced=True)


def replace(
    connection: Connection,
    source_id: int,
    new: SourceRows,
    old_terms: Mapping[int, str],
    *,
    now: int,
) -> Written:
    """Replace the content of a source; it keeps its id, its scope and the time it was added.

    The new chunks belong to the episode of its old first chunk.

    Returns:
        The new chunks; or, with ``duplicate`` set and nothing changed, another source of the scope
        that already has the content, if its identity allows only one.

    Raises:
        UnknownIdError: No source has that id.
    """
    found = new_key(connection, source_id, new.key)
    if isinstance(found, Written):
        return found
    damaged = sums.damaged(connection, [source_id])
    before = connection.execute(_CHANGING.where(sources.c.id == source_id)).one()._mapping
    keep_former(connection, [source_id])
    old = source_chunk_ids(connection, [source_id]).get(source_id, ())
    episode = connection.scalar(
        select(chunks.c.episode).where(chunks.c.source_id == source_id).order_by(chunks.c.ordinal)
    )
    delete_chunks(connection, old, old_terms)
    replaced.note(connection, old, source_id)
    links.drop_candidates(connection, source_id)
    connection.execute(
        update(sources).where(sources.c.id == source_id).values({**new.source, **found})
    )
    metadata_values.replace(connection, source_id, new.source["metadata"])
    first = next_id(connection, chunks)
    written = Written(source_id, tuple(range(first, first + len(new.chunks))), duplicate=False)
    query = select(sources.c.scope_id).where(sources.c.id == source_id)
    scope_id = connection.execute(query).scalar_one()
    chunk_rows = _chunk_rows([written], [new], scope_id, [episode] * len(new.chunks))
    insert_chunks(connection, chunk_rows[0], new.terms)
    # With the content, all that was said of its chunks is new; the rest, if it has changed.
    changed = {name for name, value in before.items() if new.source[name] != value}
    sums.write(
        connection,
        [source_id],
        damaged={id: groups - {sums.CHUNKS} for id, groups in damaged.items()},
        replaced={"chars", "content_hash", "occurrence", "former", *changed},
    )
    vector_sums.write(connection, [source_id])
    audit.note(connection, "changed", [source_id], now)
    return written


def new_key(connection: Connection, source_id: int, key: SourceKey) -> dict[str, Any] | Written:
    """What to write of a source that is to be recognized by another key.

    Returns:
        Columns of its row; or, with ``duplicate`` set, another source of the scope that has the
        key, if its identity allows only one.

    Raises:
        UnknownIdError: No source has that id.
    """
    scope_id = connection.scalar(select(sources.c.scope_id).where(sources.c.id == source_id))
    if scope_id is None:
        raise UnknownIdError(f"no source has the id {source_id!r}")
    # Corrected to the same words, a message remains an occurrence of its own.
    known = find(connection, [key], scope_id, conversation=True, alone=True, now=0)
    (holder,) = known.ids
    if key.identity in ("hash", "content") and holder is not None and holder != source_id:
        return written_sources(connection, [holder])[holder]
    return {"content_hash": key.content_hash, "occurrence": known.occurrences[key.content_hash]}


def require_unchanged(connection: Connection, expected: SourceRecord) -> None:
    """Check that a source is what it was when it was read.

    Raises:
        UnknownIdError: It has been forgotten.
        ChangedError: It has been changed.
    """
    (now,) = read_sources(connection, [expected.id], keep_damaged=True)
    if now != expected:
        raise ChangedError(
            f"source {expected.id} was changed by another writer in the meantime; nothing was "
            f"written: try again"
        )


def update_source(
    connection: Connection, source_id: int, values: Mapping[str, Any], *, now: int
) -> None:
    """Set columns of a source.

    Args:
        connection: A write transaction.
        source_id: The source.
        values: The columns, with their values.
        now: The current time, in microseconds since 1970.

    Raises:
        UnknownIdError: No source has that id.
    """
    old = connection.execute(select(sources).where(sources.c.id == source_id)).one_or_none()
    if old is None:
        raise UnknownIdError(f"no source has the id {source_id!r}")
    new = {name: value for name, value in values.items() if old._mapping[name] != value}
    damaged = sums.damaged(connection, [source_id])
    if new.keys() & {"metadata", "created_at", "content_hash"}:
        keep_former(connection, [source_id])
    if new:
        connection.execute(update(sources).where(sources.c.id == source_id), new)
        audit.note(connection, "changed", [source_id], now)
    if new.keys() - {"expires_at"}:  # no part of what was said
        note_unpurged(connection)
    if new or damaged:
        if "metadata" in values:
            metadata_values.replace(connection, source_id, values["metadata"])
        sums.write(connection, [source_id], damaged=damaged, replaced=values)


def _chunk_rows(
    written: Sequence[Written],
    new: Sequence[SourceRows],
    scope_id: int,
    episodes: Sequence[int | None],
) -> list[list[dict[str, Any]]]:
    """The rows of the chunks of each source."""
    number = iter(episodes)
    return [
        [
            {
                "id": chunk_id,
                "source_id": one.source_id,
                "scope_id": scope_id,
                **row,
                "episode": next(number),
            }
            for chunk_id, row in zip(one.chunk_ids, source.chunks, strict=True)
        ]
        for one, source in zip(written, new, strict=True)
    ]
