"""Episodes in rows: which chunks belong together, and where new ones belong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress

import numpy as np
from sqlalchemy import Connection, Integer, func, select

from agentmem_storage.episodes import GAP_MICROS, Episode
from agentmem_storage.episodes import assign as by_rule
from agentmem_storage.errors import CorruptRecordError
from agentmem_storage.sql.schema import codec
from agentmem_storage.sql.schema.rows import SourceRows
from agentmem_storage.sql.schema.tables import chunks, sources
from agentmem_storage.sql.where.expiry import is_alive
from agentmem_storage.sql.where.selection import GIVEN, as_id, given
from agentmem_storage.sql.where.tolerant import intact, require


def episodes(
    connection: Connection, ids: Iterable[int], now: int | None
) -> dict[int, tuple[int, ...]]:
    """For each chunk, the chunks of its episode including itself, in the order they were said.

    What has expired by ``now``, as `agentmem_storage.sql.where.selection.selected` takes it, is in
    none.

    Raises:
        UnknownIdError: No chunk has one of the ids.
    """
    wanted = [as_id(one) for one in ids]
    mate, source = chunks.alias("mate"), sources.alias("source")
    # A row without an episode does not join with any, not even itself.
    together = (mate.c.scope_id == chunks.c.scope_id) & (mate.c.episode == chunks.c.episode)
    if now is not None:
        together &= is_alive(mate.c.source_id, now)
    query = (
        select(chunks.c.id, mate.c.id.label("mate"))
        .outerjoin_from(chunks, mate, together)
        .outerjoin(source, source.c.id == mate.c.source_id)
        .where(chunks.c.id.in_(GIVEN))
        .order_by(source.c.created_at, source.c.id, mate.c.ordinal)
    )
    found = defaultdict(list)
    for row in connection.execute(query, given(wanted)):
        found[row.id].append(row.mate or row.id)
    require(wanted, found, "memory")
    return {one: tuple(found[one]) for one in wanted}


def assign(connection: Connection, new: Sequence[SourceRows], scope_id: int) -> list[int]:
    """The episode of each chunk of new sources, in order."""
    blobs = [row["key"] for source in new for row in source.chunks]
    times = [source.source["created_at"] for source in new for _ in source.chunks]
    # Decoded as they will be read back, so that one write and several give the same episodes.
    embeddings = codec.decode_embeddings(blobs, range(len(blobs)))
    stored = _Stored(connection, scope_id, embeddings.shape[1])
    return by_rule(stored.last(), zip(embeddings, times, strict=True), stored)


# A number whatever there is, for a damaged row must not keep others from being added.
_SAID_AT = sources.c.created_at.cast(Integer).label("created_at")


class _Stored:
    """The stored episodes of a scope; implements `agentmem_storage.episodes.Earlier`."""

    def __init__(self, connection: Connection, scope_id: int, dims: int) -> None:
        self._connection, self._scope_id, self._dims = connection, scope_id, dims

    def last(self) -> Episode | None:
        """The newest episode; None if there is none."""
        number = self._connection.scalar(
            select(func.max(chunks.c.episode)).where(chunks.c.scope_id == self._scope_id)
        )
        return None if number is None else self.load(number)

    def nearest(self, time: int) -> tuple[int, int] | None:
        distance = func.abs(sources.c.created_at - time)
        row = self._connection.execute(
            select(distance, chunks.c.episode)
            .join_from(sources, chunks, chunks.c.source_id == sources.c.id)
            .where(
                sources.c.scope_id == self._scope_id,
                sources.c.created_at.between(time - GAP_MICROS, time + GAP_MICROS),
                chunks.c.episode.is_not(None),
            )
            .order_by(distance, chunks.c.episode)
            .limit(1)
        ).first()
        return None if row is None else (int(row[0]), int(row[1]))

    def load(self, number: int) -> Episode:
        """An episode, without damaged embeddings."""
        found_rows = self._connection.execute(
            select(chunks.c.id, chunks.c.key, _SAID_AT)
            .join(sources, sources.c.id == chunks.c.source_id)
            .where(chunks.c.scope_id == self._scope_id, chunks.c.episode == number)
            .order_by(chunks.c.id)
        )
        rows = list(intact(found_rows))
        # None if its sources are damaged: what is new then begins another episode.
        times = [row.created_at for row in rows] or [0]
        found = Episode(number, 0, np.zeros(self._dims), min(times), max(times))
        for row in rows:
            with suppress(CorruptRecordError):
                embedding = codec.decode_embedding(row.key, row.id)
                if embedding.shape == (self._dims,):
                    found = found.joined(embedding, row.created_at)
        return found
