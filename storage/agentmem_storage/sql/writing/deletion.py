"""Statements that delete rows; each function runs inside a transaction with the write lock."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Container, Mapping, Sequence

from sqlalchemy import Connection, Integer, case, delete, exists, select, type_coerce, update

from agentmem_storage.errors import ChangedError, UnknownIdError
from agentmem_storage.records import AuditOp, Selection
from agentmem_storage.sql.lexical import terms, unindexing
from agentmem_storage.sql.logs import audit, changes, quarantine, replaced
from agentmem_storage.sql.logs.former import drop_forgotten, keep_former, note_forgotten
from agentmem_storage.sql.reading.state import list_ids
from agentmem_storage.sql.schema import row_counts, sums, vector_sums
from agentmem_storage.sql.schema.tables import chunk_terms_sizes, chunks, meta, scopes, sources
from agentmem_storage.sql.where import metadata_values
from agentmem_storage.sql.where.selection import id_list, selected
from agentmem_storage.sql.writing import external, links

_log = logging.getLogger(__name__)

# Built once: made anew, they leave reference cycles.
_HAS_CHUNKS = exists().where(chunks.c.source_id == sources.c.id)
_HAS_SOURCES = exists().where(sources.c.scope_id == scopes.c.id)


def choose(
    connection: Connection, selection: Selection, seen: Container[int] | None, now: int | None
) -> list[int]:
    """The ids of the chunks that a selection has now.

    Args:
        connection: A write transaction.
        selection: The selection; its ids must all be in its scope.
        now: As in `agentmem_storage.sql.where.selection.selected`.
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
    if selection.expired is True:
        chosen = _surely_expired(connection, chosen)
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


def forget(
    connection: Connection,
    ids: Sequence[int],
    texts: Mapping[int, str],
    *,
    now: int,
    op: AuditOp,
    in_place: bool = True,
) -> tuple[list[int], int, bool]:
    """Delete chunks, then sources without chunks, then scopes without sources.

    What is kept under the ids in quarantine is deleted too.

    A source that keeps some of its chunks loses its content hash: it no longer has the content
    that was added. What remains to recognize a replay is described in
    `agentmem_storage.sql.logs.former`.

    Args:
        connection: A write transaction.
        ids: Chunk ids; unknown ones are ignored.
        texts: The text that was indexed for each. If one is missing, the lexical index is marked
            as stale.
        now: The current time, in microseconds since 1970.
        op: What the audit log says of it.
        in_place: As for `delete_chunks`.

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
    ids_found = [row.id for row in found]
    stale = delete_chunks(connection, ids_found, texts, in_place=in_place)
    note_forgotten(connection, source_ids)
    emptied = sources.c.id.in_(touched), ~_HAS_CHUNKS
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
    connection.execute(delete(scopes).where(scopes.c.id.in_(id_list(scope_ids)), ~_HAS_SOURCES))
    return sorted([row.id for row in found] + kept_apart), gone.rowcount, stale


def _surely_expired(connection: Connection, ids: Sequence[int]) -> list[int]:
    """Those of some chunks whose rows say as they were written that they have expired.

    A flipped bit must not have a memory erased that nobody wanted to be.
    """
    of = type_coerce(chunks.c.source_id, Integer)
    found = connection.execute(select(chunks.c.id, of).where(chunks.c.id.in_(id_list(ids))))
    owners = {row.id: row.source_id for row in found}
    damaged = sums.damaged(connection, sorted({*owners.values()}))
    doubted = [id for id, groups in damaged.items() if sums.EXPIRY in groups]
    if doubted:
        _log.warning(
            "%d messages or documents are not erased, among them source %d: that they have expired "
            "is not as it was written; verify says more",
            *(len(doubted), doubted[0]),
        )
    return [one for one in ids if owners.get(one) not in doubted]


def drop_source(connection: Connection, source_id: int) -> None:
    """Delete a source without chunks, and its scope if nothing else is in it."""
    links.drop(connection, [source_id])
    connection.execute(delete(sources).where(sources.c.id == source_id))
    replaced.drop(connection, [source_id])
    metadata_values.drop(connection, [source_id])
    connection.execute(delete(scopes).where(~_HAS_SOURCES))
    note_unpurged(connection)


def delete_chunks(
    connection: Connection, ids: Sequence[int], texts: Mapping[int, str], *, in_place: bool = False
) -> bool:
    """Delete rows and terms of chunks; return whether some terms could not be deleted.

    Args:
        connection: A write transaction.
        ids: Ids of the chunks.
        texts: By id, the text that was indexed.
        in_place: Whether words may be taken out of the pages of a large lexical index. Then the
            transaction must do nothing else to it; and each word may have a page of its own, which
            the log has to have room for.
    """
    rows = connection.scalars(
        select(chunk_terms_sizes.c.id).where(chunk_terms_sizes.c.id.in_(id_list(ids)))
    ).all()
    stale = any(one not in texts for one in rows)
    # Deleting terms that are not indexed would corrupt the index's statistics.
    indexed = {one: texts[one] for one in rows if one in texts}
    if in_place:
        indexed = unindexing.erase(connection, indexed)
    terms.delete(connection, indexed)
    if stale:
        connection.execute(update(meta).values(terms_stale=1))
    note_unpurged(connection, merge=bool(indexed))
    gone = connection.execute(delete(chunks).where(chunks.c.id.in_(id_list(ids))))
    row_counts.note(connection, -gone.rowcount)
    changes.append(connection, changes.REMOVE, ids)
    return stale


def note_unpurged(connection: Connection, *, merge: bool = True) -> None:
    """Note that the files may contain bytes of deleted rows; see `Database.purge`.

    Args:
        connection: A write transaction.
        merge: Whether traces of them may be in the lexical index, until it is merged.
    """
    noted = 1 + secrets.randbits(62)
    number = noted if merge else case((meta.c.unpurged > 0, noted), else_=-noted)
    connection.execute(update(meta).values(unpurged=number))
