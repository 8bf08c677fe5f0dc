"""Writes what is made from texts: embeddings, and the lexical index with the values of metadata."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, select, update

from agentmem_storage.sql.lexical import terms
from agentmem_storage.sql.logs import changes
from agentmem_storage.sql.schema import row_counts, vector_sums
from agentmem_storage.sql.schema.tables import chunks, meta
from agentmem_storage.sql.where import metadata_values
from agentmem_storage.sql.where.selection import id_list
from agentmem_storage.sql.writing.deletion import note_unpurged


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


def rebuild_terms(
    connection: Connection, texts: Mapping[int, str | None], *, keep: bool
) -> list[int]:
    """Rebuild the lexical index from texts; those of deleted chunks are ignored.

    The index stays marked as stale as long as a chunk is missing from it whose text was not given,
    or it has rows of deleted chunks. The values that filters look up are rebuilt too, from the
    sources' metadata, and chunks are counted anew.

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
        row_counts.recount(connection)
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
