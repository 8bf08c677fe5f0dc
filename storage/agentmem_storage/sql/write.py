"""Statements that change rows; each function runs inside a transaction with the write lock.

Ids are assigned here, not by SQLite: under the lock the next one is known, so that rows can be
inserted in bulk. The tables are AUTOINCREMENT nevertheless, so that ids are never reused.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    bindparam,
    delete,
    exists,
    insert,
    select,
    type_coerce,
    update,
)

from agentmem_storage.errors import ChangedError, InputError, UnknownIdError
from agentmem_storage.records import AuditOp, Scope, Selection, SourceKey, SourceRecord, Written
from agentmem_storage.sql import (
    audit,
    changes,
    external,
    links,
    metadata_values,
    quarantine,
    replaced,
    sums,
    terms,
    vector_sums,
)
from agentmem_storage.sql.duplicates import Known, find, symbol
from agentmem_storage.sql.episodes import assign
from agentmem_storage.sql.former import drop_forgotten, keep_former, note_forgotten
from agentmem_storage.sql.inserts import insert_chunks, insert_scope, next_id, scope_words
from agentmem_storage.sql.read import (
    read_sources,
    scope_id_of,
    source_chunk_ids,
    written_sources,
)
from agentmem_storage.sql.rows import SourceRows
from agentmem_storage.sql.selection import id_list, selected
from agentmem_storage.sql.state import list_ids
from agentmem_storage.sql.tables import chunk_terms_sizes, chunks, meta, scopes, sources
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
    _delete_chunks(connection, old, old_terms)
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


def choose(
    connection: Connection, selection: Selection, seen: Container[int] | None, now: int | None
) -> list[int]:
    """The ids of the chunks that a selection has now.

    Args:
        connection: A write transaction.
        selection: The selection; its ids must all be in its scope.
        now: As in `agentmem_storage.sql.selection.selected`.
        seen: The ids that may be among them; None for any.

    Raises:
        UnknownIdError: An id of the selection is not in its scope.
        InputError: Several scopes have one of its external ids.
        ChangedError: There are others than those seen.
    """
    if selection.external_ids is not None:
        seen_by = now if selection.expired is False else None
        external.resolve(connection, selection.scope, selection.external_ids, seen_by)
    if selection.ids is not None:
        of_scope = Selection(selection.scope, ids=selection.ids, expired=selection.expired)
        present = list_ids(connection, selected(of_scope, now=now)).ids.tolist()
        present += quarantine.ids(connection, selection.scope, selection.ids)
        if missing := sorted(set(selection.ids).difference(present)):
            raise UnknownIdError(f"no memory of this scope has the id {missing[0]!r}")
    chosen: list[int] = list_ids(connection, selected(selection, now=now)).ids.tolist()
    by_id = Selection(selection.scope, ids=selection.ids, expired=selection.expired)
    if selection == by_id:
        # Of what is in quarantine, nothing but ids and the scope is known.
        chosen = sorted(chosen + quarantine.ids(connection, selection.scope, selection.ids))
    if seen is not None and not all(one in seen for one in chosen):
        raise ChangedError(
            "other memories are selected than a moment ago, because another writer changed some; "
            "nothing was deleted: try again"
        )
    return chosen


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


def forget(
    connection: Connection,
    ids: Sequence[int],
    texts: Mapping[int, str],
    *,
    now: int,
    op: AuditOp,
) -> tuple[list[int], int, bool]:
    """Delete chunks, then sources without chunks, then scopes without sources.

    What is kept under the ids in quarantine is deleted too.

    A source that keeps some of its chunks loses its content hash: it no longer has the content
    that was added. What remains to recognize a replay is described in
    `agentmem_storage.sql.former`.

    Args:
        connection: A write transaction.
        ids: Chunk ids; unknown ones are ignored.
        texts: The text that was indexed for each. If one is missing, the lexical index is marked
            as stale.
        now: The current time, in microseconds since 1970.
        op: What the audit log says of it.

    Returns:
        Ids of the chunks deleted, number of sources deleted, and whether a text was missing.
    """
    kept_apart = quarantine.drop(connection, ids)
    if kept_apart:
        note_unpurged(connection)
    # As they are, for damaged rows can be forgotten too.
    owners = (type_coerce(one, Integer) for one in (chunks.c.source_id, chunks.c.scope_id))
    found = connection.execute(
        select(chunks.c.id, *owners).where(chunks.c.id.in_(id_list(ids))).order_by(chunks.c.id)
    ).all()
    if not found:
        return kept_apart, 0, False
    source_ids = list({row.source_id: None for row in found if isinstance(row.source_id, int)})
    audit.note(connection, op, source_ids, now, only={row.id for row in found})
    touched = id_list(source_ids)
    others = chunks.c.id.not_in(id_list(row.id for row in found))
    kept = connection.scalars(
        select(chunks.c.source_id).where(chunks.c.source_id.in_(touched), others).distinct()
    ).all()
    damaged, mixed = sums.damaged(connection, kept), vector_sums.damaged(connection, kept)
    stale = _delete_chunks(connection, [row.id for row in found], texts)
    note_forgotten(connection, source_ids)
    has_chunks = exists().where(chunks.c.source_id == sources.c.id)
    emptied = sources.c.id.in_(touched), ~has_chunks
    links.drop(connection, connection.scalars(select(sources.c.id).where(*emptied)).all())
    gone = connection.execute(delete(sources).where(*emptied))
    replaced.drop(connection, source_ids)
    metadata_values.drop(connection, source_ids)
    keep_former(connection, source_ids)
    connection.execute(update(sources).where(sources.c.id.in_(touched)).values(content_hash=None))
    sums.write(connection, kept, damaged=damaged)
    vector_sums.write(connection, kept, damaged=mixed)
    scope_ids = {row.scope_id: None for row in found if isinstance(row.scope_id, int)}
    drop_forgotten(connection, scope_ids)
    has_sources = exists().where(sources.c.scope_id == scopes.c.id)
    connection.execute(delete(scopes).where(scopes.c.id.in_(id_list(scope_ids)), ~has_sources))
    return sorted([row.id for row in found] + kept_apart), gone.rowcount, stale


def replace_embeddings(connection: Connection, blobs: Mapping[int, bytes]) -> None:
    """Give chunks other embeddings; nothing else of them changes."""
    owners = select(chunks.c.id, chunks.c.source_id).where(chunks.c.id.in_(id_list(blobs)))
    there = {row.id: row.source_id for row in connection.execute(owners)}
    if not there:
        return
    touched = list(dict.fromkeys(there.values()))
    connection.execute(
        update(chunks).where(chunks.c.id == bindparam("one")).values(key=bindparam("new")),
        [{"one": id, "new": blobs[id]} for id in there],
    )
    vector_sums.write(connection, touched)
    # As another history, so that no index keeps what it had.
    changes.begin_again(connection)
    note_unpurged(connection)


def drop_source(connection: Connection, source_id: int) -> None:
    """Delete a source without chunks, and its scope if nothing else is in it."""
    links.drop(connection, [source_id])
    connection.execute(delete(sources).where(sources.c.id == source_id))
    replaced.drop(connection, [source_id])
    metadata_values.drop(connection, [source_id])
    has_sources = exists().where(sources.c.scope_id == scopes.c.id)
    connection.execute(delete(scopes).where(~has_sources))
    note_unpurged(connection)


def rebuild_terms(
    connection: Connection, texts: Mapping[int, str | None], *, keep: bool
) -> list[int]:
    """Rebuild the lexical index from texts; those of deleted chunks are ignored.

    The index stays marked as stale as long as a chunk is missing from it whose text was not given,
    or it has rows of deleted chunks. The values that filters look up are rebuilt too, from the
    sources' metadata.

    Args:
        connection: A write transaction.
        texts: By chunk id, the text to index; None if it cannot be read.
        keep: Keep the rows that are there.

    Returns:
        Ids of chunks that are neither indexed nor among ``texts``.
    """
    present = connection.scalars(select(chunks.c.id).order_by(chunks.c.id)).all()
    if not keep:
        terms.clear(connection)
        metadata_values.rebuild(connection)
    indexed = set(terms.known_ids(connection))
    forgotten = bool(indexed.difference(present))
    missing = [one for one in present if one not in indexed]
    given = ((one, texts.get(one)) for one in missing)
    terms.insert(connection, ((one, text) for one, text in given if text is not None))
    terms.optimize(connection)
    left = [one for one in missing if one not in texts]
    connection.execute(update(meta).values(terms_stale=int(forgotten or bool(left))))
    note_unpurged(connection)
    return left


def note_unpurged(connection: Connection) -> None:
    """Note that the files may contain bytes of deleted rows; see `Database.purge`."""
    connection.execute(update(meta).values(unpurged=1 + secrets.randbits(62)))


def _delete_chunks(connection: Connection, ids: Sequence[int], texts: Mapping[int, str]) -> bool:
    """Delete rows and terms of chunks; return whether some terms could not be deleted."""
    rows = connection.scalars(
        select(chunk_terms_sizes.c.id).where(chunk_terms_sizes.c.id.in_(id_list(ids)))
    ).all()
    stale = any(one not in texts for one in rows)
    # Deleting terms that are not indexed would corrupt the index's statistics.
    terms.delete(connection, {one: texts[one] for one in rows if one in texts})
    if stale:
        connection.execute(update(meta).values(terms_stale=1))
    note_unpurged(connection)
    connection.execute(delete(chunks).where(chunks.c.id.in_(id_list(ids))))
    changes.append(connection, changes.REMOVE, ids)
    return stale


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
