"""Mends what can be made again, and takes the rest out of use; see `Store.repair`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Integer, delete, select, type_coerce, update
from sqlalchemy.exc import DatabaseError

from agentmem_storage.records import Problem, Repaired
from agentmem_storage.sql.lexical import lexicon
from agentmem_storage.sql.logs import audit, changes, quarantine
from agentmem_storage.sql.schema import row_counts, row_sums, seal, sums, vector_sums
from agentmem_storage.sql.schema.tables import chunks, forgotten, meta, replaced, sources, staged
from agentmem_storage.sql.where.selection import id_list
from agentmem_storage.sql.writing import deletion, links


def repair(connection: Connection, problems: Sequence[Problem], now: int) -> Repaired:
    """Act on problems.

    Args:
        connection: A write transaction.
        problems: What was found.
        now: The current time, in microseconds since 1970.
    """
    by_remedy = defaultdict(list)
    for problem in problems:
        by_remedy[problem.repair].append(problem)
    rebuilt: list[str] = []
    out = _quarantined(connection, by_remedy["chunk"], by_remedy["source"], now)
    embed = [one.chunk_id for one in by_remedy["embedding"] if one.chunk_id is not None]
    mixed = [one.source_id for one in by_remedy["vectors"] if one.source_id is not None]
    embed += connection.scalars(select(chunks.c.id).where(chunks.c.source_id.in_(mixed)))
    resummed = [one.source_id for one in by_remedy["spans"] if one.source_id is not None]
    _take_as_they_are(connection, [*mixed, *resummed])
    if resummed:
        rebuilt.append("checksums of chunks whose texts are intact")
    if by_remedy["notes"]:
        dropped = sum(
            row_sums.drop_damaged(connection, table) for table in (forgotten, replaced, staged)
        )
        dropped += links.drop_damaged(connection)
        dropped += audit.drop_damaged(connection, now)
        quarantine.mend(connection, now)
        rebuilt.append(f"{dropped} damaged notes were deleted")
    if by_remedy["log"]:
        changes.begin_again(connection)
        rebuilt.append("the change log")
    if by_remedy["own row"]:
        seal.mend(connection)
        rebuilt.append("the checksum of what the store says about itself, which is taken as it is")
    if by_remedy["terms"] or out:
        lexicon.reset(connection)
        row_counts.recount(connection)
        connection.execute(update(meta).values(terms_stale=1))
        rebuilt.append("the lexical index and the values that filters look up")
    if rebuilt or out:
        deletion.note_unpurged(connection)
    there = set(connection.scalars(select(chunks.c.id).where(chunks.c.id.in_(embed))))
    return Repaired(tuple(sorted(out)), tuple(sorted(there)), tuple(rebuilt))


def _quarantined(
    connection: Connection, of_chunks: Iterable[Problem], of_sources: Iterable[Problem], now: int
) -> list[int]:
    why: dict[int, str] = {}
    for problem in of_chunks:
        if problem.chunk_id is not None:
            why.setdefault(problem.chunk_id, problem.what)
    empty: dict[int, str] = {}
    for problem in of_sources:
        if problem.source_id is None:
            continue
        own = connection.scalars(select(chunks.c.id).where(chunks.c.source_id == problem.source_id))
        of_source = list(own)
        for id in of_source:
            why.setdefault(id, problem.what)
        if not of_source:
            empty.setdefault(problem.source_id, problem.what)
    entries = []
    for of, entry in ((why, quarantine.entry_of_chunk), (empty, quarantine.entry_of_source)):
        for id, what in list(of.items()):
            try:
                made = entry(connection, id, what, now)
            except DatabaseError:  # on a torn page, it cannot be moved either
                del of[id]
                continue
            if made is not None:
                entries.append(made)
    owners = chunks.c.id.in_(id_list(why))
    whole = list(connection.scalars(select(type_coerce(chunks.c.source_id, Integer)).where(owners)))
    deletion.forget(connection, list(why), {}, now=now, op="quarantine")
    # Nobody wanted it forgotten: it may be added again.
    again = forgotten.c.id.in_(id_list(one for one in whole if isinstance(one, int)))
    connection.execute(delete(forgotten).where(again))
    for id in empty:
        deletion.drop_source(connection, id)
    quarantine.put(connection, entries)
    return [entry["chunk_id"] for entry in entries]


def _take_as_they_are(connection: Connection, source_ids: Sequence[int]) -> None:
    """Sum again what is said of the chunks that are left of some sources."""
    left = list(connection.scalars(select(sources.c.id).where(sources.c.id.in_(source_ids))))
    damaged = sums.damaged(connection, left)
    others = {id: groups - {sums.CHUNKS} for id, groups in damaged.items()}
    sums.write(connection, left, damaged=others)
    vector_sums.write(connection, left)
