"""Stored chunks as another model encodes them, until all of them are put in place at once.

While chunks are encoded again, the store is read and written as before. What is made stands in a
table of its own, so that it is resumed after a crash, and goes with its chunk when that is
forgotten. The switch is one transaction: a crash leaves the store bound to the old model or to the
new one, with all its rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, insert, select, update

from agentmem_storage.records import ModelBinding, StagedChunk
from agentmem_storage.sql.logs import changes
from agentmem_storage.sql.schema import row_counts, row_sums, seal, sums, vector_sums
from agentmem_storage.sql.schema.rows import chunk_row, embedding_blob
from agentmem_storage.sql.schema.tables import chunks, meta, staged
from agentmem_storage.sql.where.selection import GIVEN, given, id_list
from agentmem_storage.sql.writing.deletion import note_unpurged
from agentmem_storage.sql.writing.inserts import next_id

# What a part replaces of its chunk, beside the embedding.
_ENCODED = ("start", "end", "tokens", "fidelity", "text_hash", "patch", "latents", "text")
_COLUMNS = ("key", *_ENCODED)


def missing(connection: Connection, target: ModelBinding) -> list[int]:
    """Ids of the chunks that are not staged for a model, ascending; read-only."""
    query = select(chunks.c.id).order_by(chunks.c.id)
    if connection.scalar(select(meta.c.staged_for)) == target.model:
        query = query.where(~exists().where(staged.c.chunk_id == chunks.c.id))
    return list(connection.scalars(query))


def stage(connection: Connection, target: ModelBinding, new: Sequence[StagedChunk]) -> None:
    """Keep what a model has made of chunks; those that are gone by now are left out.

    What was staged for another model is deleted.

    Raises:
        InputError: Something cannot be stored.
    """
    rows = [row for one in new for row in _rows(one, target.embedding_dims)]
    if connection.scalar(select(meta.c.staged_for)) != target.model:
        with seal.resealed(connection):
            _clear(connection)
            connection.execute(update(meta).values(staged_for=target.model))
    there = set(
        connection.scalars(
            select(chunks.c.id).where(chunks.c.id.in_(GIVEN)),
            given(one.chunk_id for one in new),
        )
    )
    connection.execute(delete(staged).where(staged.c.chunk_id.in_(id_list(there))))
    if present := [row for row in rows if row["chunk_id"] in there]:
        connection.execute(insert(staged), [row_sums.summed(staged, row) for row in present])


def switch(connection: Connection, target: ModelBinding) -> list[int]:
    """Put what is staged of all chunks in their place, and bind the store to its model.

    Args:
        connection: A write transaction in which nothing is `missing`.
        target: The model.

    Returns:
        Ids of the chunks that are now several, ascending. They keep their ids for their first
        parts, and the lexical index is marked as stale.
    """
    sources = list(connection.scalars(select(chunks.c.source_id).distinct()))
    damaged, mixed = sums.damaged(connection, sources), vector_sums.damaged(connection, sources)
    _replace(connection, _ENCODED, staged.c.latents.is_not(None))
    _replace(connection, ("key",))
    split = _split(connection)
    sums.write(connection, sources, damaged=damaged)
    vector_sums.write(connection, sources, damaged=mixed)
    with seal.resealed(connection):
        _clear(connection)
        connection.execute(
            update(meta).values(
                model=target.model, key_dims=target.embedding_dims, latents=target.latents
            )
        )
    if split:
        connection.execute(update(meta).values(terms_stale=1))
    note_unpurged(connection)
    return split


def _rows(one: StagedChunk, embedding_dims: int) -> list[dict[str, Any]]:
    """The rows of a chunk; those of one whose latents stay have nothing but an embedding."""
    if not one.parts:
        none = dict.fromkeys(_ENCODED)
        key = embedding_blob(one.embedding, embedding_dims)
        return [{"chunk_id": one.chunk_id, "part": 0, "key": key, **none}]
    packed = [chunk_row(part, number, embedding_dims) for number, part in enumerate(one.parts)]
    return [
        {"chunk_id": one.chunk_id, "part": number, **{name: row[name] for name in _COLUMNS}}
        for number, row in enumerate(packed)
    ]


def _replace(connection: Connection, names: Sequence[str], *conditions: Any) -> None:
    """Give chunks the columns of their first parts."""
    own = staged.c.chunk_id == chunks.c.id, staged.c.part == 0
    values = {
        name: select(staged.c[name]).where(*own).correlate(chunks).scalar_subquery()
        for name in names
    }
    connection.execute(
        update(chunks).where(exists().where(*own, *conditions).correlate(chunks)).values(values)
    )


def _split(connection: Connection) -> list[int]:
    """Add the further parts of chunks, each behind its first one."""
    further = connection.execute(
        select(staged).where(staged.c.part > 0).order_by(staged.c.chunk_id, staged.c.part)
    ).all()
    if not further:
        return []
    parts = defaultdict(list)
    for row in further:
        parts[row.chunk_id].append({name: row._mapping[name] for name in _COLUMNS})
    touched = select(chunks.c.source_id).where(chunks.c.id.in_(id_list(parts)))
    of_sources = connection.execute(
        select(*(chunks.c[name] for name in ("id", "source_id", "scope_id", "ordinal", "episode")))
        .where(chunks.c.source_id.in_(touched))
        .order_by(chunks.c.source_id, chunks.c.ordinal)
    ).all()
    fresh = next_id(connection, chunks)
    before: dict[int, int] = defaultdict(int)  # parts added to each source so far
    places: list[dict[str, int]] = []
    added: list[dict[str, Any]] = []
    for row in of_sources:
        # Ordinals that are left out stay so: they are of chunks that were forgotten.
        place = row.ordinal + before[row.source_id]
        places.append({"one": row.id, "place": place, "meanwhile": -1 - place})
        own = {name: row._mapping[name] for name in ("source_id", "scope_id", "episode")}
        for part in parts.get(row.id, ()):
            place += 1
            added.append({"id": fresh, "ordinal": place, **own, **part})
            before[row.source_id] += 1
            fresh += 1
    for name in ("meanwhile", "place"):  # no place may be taken twice, not even for a moment
        values: dict[str, Any] = {"ordinal": bindparam(name)}
        connection.execute(
            update(chunks).where(chunks.c.id == bindparam("one")).values(values), places
        )
    connection.execute(insert(chunks), added)
    row_counts.note(connection, len(added))
    changes.append(connection, changes.ADD, [row["id"] for row in added])
    return sorted(parts)


def _clear(connection: Connection) -> None:
    connection.execute(delete(staged))
    connection.execute(update(meta).values(staged_for=None))
