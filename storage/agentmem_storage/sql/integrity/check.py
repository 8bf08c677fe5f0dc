"""Integrity check of a store: read-only, and one damaged row does not hide the next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, func, select

from agentmem_storage.errors import (
    CorruptRecordError,
    StoreBusyError,
    StoreError,
    StoreUnwritableError,
)
from agentmem_storage.metadata import read_metadata
from agentmem_storage.records import ANY_SCOPE, Problem, Remedy, Scope, Selection
from agentmem_storage.sql.connection.base import AnyDatabase
from agentmem_storage.sql.integrity import check_tables
from agentmem_storage.sql.lexical import terms
from agentmem_storage.sql.logs import changes
from agentmem_storage.sql.reading.chunks import decode_chunk
from agentmem_storage.sql.reading.sources import damaged_time
from agentmem_storage.sql.reading.state import list_ids
from agentmem_storage.sql.schema import codec, sums, vector_sums
from agentmem_storage.sql.schema.tables import chunks, meta, scopes, sources
from agentmem_storage.sql.schema.tiling import may_follow
from agentmem_storage.sql.where import metadata_values
from agentmem_storage.sql.where.selection import id_list, scope_conditions, selected
from agentmem_storage.sql.writing import links
from agentmem_storage.timestamps import from_micros

_BATCH = 500


def check(database: AnyDatabase, scope: Scope) -> Iterator[Problem]:
    """Find all problems; see `agentmem_storage.store.Store.check`."""
    parts: list[Iterator[Problem]] = [
        _chunk_rows(database, scope),
        _source_rows(database, scope),
        _values_of_rows(database, scope),
        _terms_of_rows(database, scope),
    ]
    if scope == ANY_SCOPE:
        whole = [
            _terms_of_store(database),
            check_tables.term_counts(database),
            _log(database),
            check_tables.change_log(database),
            check_tables.notes(database),
            _links(database),
        ]
        parts = [
            _faults(database),
            _file_structure(database),
            check_tables.own_row(database),
            *parts,
            *whole,
        ]
    for part in parts:
        try:
            yield from part
        except (StoreBusyError, StoreUnwritableError):
            raise
        except StoreError as error:
            # A page is torn; the other parts may be on intact pages.
            yield Problem(None, f"database: {error}")


def _faults(database: AnyDatabase) -> Iterator[Problem]:
    yield from (Problem(one.chunk_id, one.what) for one in database.faults())


def _file_structure(database: AnyDatabase) -> Iterator[Problem]:
    with database.read() as connection:
        if connection.dialect.name != "sqlite":
            return  # a server checks its files itself
        verdicts = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
        strays = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    yield from (Problem(None, f"database: {verdict}") for verdict in verdicts if verdict != "ok")
    for table, rowid, parent, _ in strays:
        what = f"row {rowid} of {table!r} belongs to no row of {parent!r}"
        if table == chunks.name:
            yield Problem(rowid, what, repair="chunk")
        else:
            source_id = rowid if table == sources.name else None
            remedy: Remedy = "notes" if source_id is None else "source"
            yield Problem(None, what, repair=remedy, source_id=source_id)


def _chunk_rows(database: AnyDatabase, scope: Scope) -> Iterator[Problem]:
    with database.read() as connection:
        # Ids are read from an index, so those of rows on a torn page are known too.
        ids = list_ids(connection, selected(_all_of(scope), now=None)).ids
        embedding_dims = connection.scalar(select(meta.c.key_dims))
    for first in range(0, ids.size, _BATCH):
        yield from _faults_among(database, ids[first : first + _BATCH], embedding_dims)


def _all_of(scope: Scope) -> Selection:
    """What has expired is checked too, as long as it is stored."""
    return Selection(scope, expired=None)


def _faults_among(
    database: AnyDatabase, ids: NDArray[np.int64], embedding_dims: int | None
) -> Iterator[Problem]:
    try:
        with database.read() as connection:
            query = select(chunks).where(chunks.c.id.in_(id_list(ids))).order_by(chunks.c.id)
            rows = connection.execute(query).all()
    except (StoreBusyError, StoreUnwritableError):
        raise
    except StoreError as error:
        if ids.size == 1:
            yield Problem(int(ids[0]), f"it cannot be read: {error}", repair="chunk")
            return
        for half in np.array_split(ids, 2):
            yield from _faults_among(database, half, embedding_dims)
        return
    for row in rows:
        yield from _chunk_faults(row, embedding_dims)


def _chunk_faults(row: Row[Any], embedding_dims: int | None) -> Iterator[Problem]:
    try:
        decode_chunk(row)
    except CorruptRecordError as error:
        yield Problem(row.id, str(error), repair="chunk")
    what = None
    try:
        embedding = codec.decode_embedding(row.key, row.id)
        if embedding.shape != (embedding_dims,):
            what = f"its embedding has {embedding.size} dims, expected {embedding_dims}"
    except CorruptRecordError as error:
        what = str(error)
    if what is not None:
        yield Problem(row.id, what, repair="embedding")
    if not 0.0 <= row.fidelity <= 1.0:
        yield Problem(
            row.id, f"its fidelity {row.fidelity!r} is not between 0 and 1", repair="chunk"
        )


def _source_rows(database: AnyDatabase, scope: Scope) -> Iterator[Problem]:
    for ids in _source_ids(database, scope):
        yield from _faults_of_sources(database, ids)


def _source_ids(database: AnyDatabase, scope: Scope) -> Iterator[list[int]]:
    """The ids of the sources of a scope, a batch at a time."""
    query = select(sources.c.id).order_by(sources.c.id)
    if conditions := scope_conditions(scope):
        query = query.where(sources.c.scope_id.in_(select(scopes.c.id).where(*conditions)))
    with database.read() as connection:
        ids = list(connection.scalars(query))
    for first in range(0, len(ids), _BATCH):
        yield ids[first : first + _BATCH]


def _faults_of_sources(database: AnyDatabase, ids: Sequence[int]) -> Iterator[Problem]:
    try:
        with database.read() as connection:
            query = select(sources).where(sources.c.id.in_(id_list(ids)))
            rows = connection.execute(query.order_by(sources.c.id)).all()
            spans = _spans(connection, ids)
            altered = sums.damaged(connection, ids)
            differing = vector_sums.damaged(connection, ids)
            mixed = [id for id in differing if _has_whole_blobs(connection, id)]
            owners = _first_ids(connection, ids)
    except (StoreBusyError, StoreUnwritableError):
        raise
    except StoreError as error:
        if len(ids) == 1:
            with database.read() as connection:
                owner = _first_ids(connection, ids).get(ids[0])
            what = f"source {ids[0]} cannot be read: {error}"
            yield Problem(owner, what, repair="source", source_id=ids[0])
            return
        middle = len(ids) // 2
        for half in (ids[:middle], ids[middle:]):
            yield from _faults_of_sources(database, half)
        return
    for row in rows:
        found = list(_source_faults(row, spans.get(row.id, [])))
        if not found:
            found += [
                Problem(
                    owners.get(row.id),
                    f"source {row.id} is not as it was written: {sums.NAMES[group]} was altered",
                    repair="spans" if group == sums.CHUNKS else "source",
                )
                for group in sorted(altered.get(row.id, ()))
            ]
        yield from (replace(one, source_id=row.id) for one in found)
        if row.id in mixed:
            yield Problem(
                owners.get(row.id),
                f"the vectors of source {row.id} are not those that its chunks were given",
                repair="vectors",
                source_id=row.id,
            )


def _source_faults(row: Row[Any], own: Sequence[Any]) -> Iterator[Problem]:
    yield from _tiling_faults(row, own)
    try:
        _ = from_micros(row.created_at), from_micros(row.added_at)
    except ValueError:
        what = damaged_time(f"source {row.id}")
        yield Problem(_first_id(own), what, repair="source")
    try:
        read_metadata(row.metadata)
    except ValueError:
        what = f"the metadata of source {row.id} cannot be read"
        yield Problem(_first_id(own), what, repair="source")
    for span in own:
        if span.scope_id != row.scope_id:
            what = f"it is in another scope than its source {row.id}"
            yield Problem(span.id, what, repair="source")


def _values_of_rows(database: AnyDatabase, scope: Scope) -> Iterator[Problem]:
    """What filters look up is what the metadata say.

    Not of sources whose metadata were altered, which is a problem of these.
    """
    for ids in _source_ids(database, scope):
        with database.read() as connection:
            differing = metadata_values.differing(connection, ids)
            altered = sums.damaged(connection, differing)
            owners = _first_ids(connection, differing)
        for id in differing:
            if sums.METADATA not in altered.get(id, ()):
                yield Problem(
                    owners.get(id),
                    f"filters see other metadata of source {id} than it has: reindex",
                    repair="terms",
                )


def _has_whole_blobs(connection: Connection, source_id: int) -> bool:
    """Whether each blob of a source's chunks matches its own checksum; others are reported."""
    columns = (chunks.c.id, chunks.c.key, chunks.c.patch, chunks.c.latents)
    try:
        for row in connection.execute(select(*columns).where(chunks.c.source_id == source_id)):
            codec.decode_embedding(row.key, row.id)
            codec.decode_patch(row.patch, row.id)
            codec.decode_latents(row.latents, row.id)
    except CorruptRecordError:
        return False
    return True


def _first_ids(connection: Connection, source_ids: Sequence[int]) -> dict[int, int]:
    """The lowest chunk id of each source."""
    query = select(chunks.c.source_id, func.min(chunks.c.id).label("id"))
    rows = connection.execute(
        query.where(chunks.c.source_id.in_(id_list(source_ids))).group_by(chunks.c.source_id)
    )
    return {row.source_id: row.id for row in rows}


def _spans(connection: Connection, source_ids: Sequence[int]) -> Mapping[int, Sequence[Any]]:
    query = (
        select(
            *(chunks.c.source_id, chunks.c.scope_id, chunks.c.id),
            *(chunks.c.ordinal, chunks.c.start, chunks.c.end),
        )
        .where(chunks.c.source_id.in_(id_list(source_ids)))
        .order_by(chunks.c.source_id, chunks.c.ordinal)
    )
    found = defaultdict(list)
    for row in connection.execute(query):
        found[row.source_id].append(row)
    return found


def _tiling_faults(source: Row[Any], spans: Sequence[Any]) -> Iterator[Problem]:
    """Chunks must tile their source; one that was partly forgotten may have gaps.

    Such a source no longer has a content hash.
    """
    complete = source.content_hash is not None
    end, ordinal = 0, 0
    for span in spans:
        fits = may_follow(span.ordinal, span.start, due=ordinal, end=end, complete=complete)
        if not fits or span.end < span.start:
            what = f"it spans {span.start} to {span.end}, but should start at {end}"
            yield Problem(span.id, what, repair="source")
        end, ordinal = span.end, span.ordinal + 1
    if (complete and end != source.chars) or end > source.chars:
        yield Problem(
            _first_id(spans),
            f"the chunks of source {source.id} end at {end} of {source.chars} characters",
            repair="source",
        )
    if not spans:
        yield Problem(None, f"source {source.id} has no chunks", repair="source")


def _first_id(spans: Sequence[Any]) -> int | None:
    return spans[0].id if spans else None


def _terms_of_rows(database: AnyDatabase, scope: Scope) -> Iterator[Problem]:
    with database.read() as connection:
        known = set(terms.known_ids(connection))
        present = set(list_ids(connection, selected(_all_of(scope), now=None)).ids.tolist())
    for chunk_id in sorted(present - known):
        yield Problem(
            chunk_id, "it is missing from the lexical index; rebuild the terms", repair="terms"
        )


def _log(database: AnyDatabase) -> Iterator[Problem]:
    """What the change log says last of a chunk is whether it is there."""
    with database.read() as connection:
        said = {id: op for op, id in changes.after(connection, changes.Mark())}
        present = set(list_ids(connection, select(chunks.c.id)).ids.tolist())
    for id, op in said.items():
        if (op == changes.ADD) != (id in present):
            yield Problem(
                id if id in present else None,
                f"the change log is damaged: it says the opposite of memory {id} of what is stored",
                repair="log",
            )


def _links(database: AnyDatabase) -> Iterator[Problem]:
    with database.read() as connection:
        found = list(links.faults(connection))
    yield from (Problem(None, what, repair="notes") for what in found)


def _terms_of_store(database: AnyDatabase) -> Iterator[Problem]:
    try:
        with database.write() as connection:
            terms.verify(connection)
    except StoreBusyError:
        raise
    except StoreUnwritableError:
        pass  # FTS5 checks itself only under the write lock, which a read-only store does not have.
    except StoreError as error:
        yield Problem(None, f"lexical index: {error}", repair="terms")
    with database.read() as connection:
        known = set(terms.known_ids(connection))
        forgotten = known.difference(connection.scalars(select(chunks.c.id)))
    if forgotten:
        yield Problem(
            None,
            f"the lexical index still contains {len(forgotten)} forgotten memories: rebuild the "
            f"terms",
            repair="terms",
        )
