"""Which words of a query a few chunks contain, and how rare these words are in a scope."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from sqlalchemy import Connection, Integer, Select, bindparam, func, literal_column, select, true
from sqlalchemy.sql.expression import text

from agentmem_storage.records import WordMatches
from agentmem_storage.sql.tables import chunk_terms, chunk_terms_name, chunk_terms_sizes, meta
from agentmem_storage.words import STOP_WORDS, phrases

# With more chunks than this, one scan of each phrase takes less time than a look-up for each chunk.
_MOST_LOOKUPS = 64

_ROWID = literal_column("chunk_terms.rowid", Integer)
# The unary plus keeps SQLite from querying FTS5 once per allowed id.
_UNINDEXED_ROWID = literal_column("+chunk_terms.rowid", Integer)
_PHRASES = func.json_each(bindparam("phrases")).table_valued("value", name="phrase")
_IDS = func.json_each(bindparam("ids")).table_valued("value", name="chunk")


def word_matches(
    connection: Connection, query: str, ids: Sequence[int], scope: Select[tuple[int]]
) -> WordMatches:
    """See `agentmem_storage.Store.word_matches`.

    Args:
        connection: A transaction.
        query: Any string.
        ids: The chunks to look at.
        scope: The ids over which document frequencies are counted.
    """
    rows, held = (
        select(func.count()).select_from(one).scalar_subquery()
        for one in (chunk_terms_sizes, scope.subquery())
    )
    sizes = connection.execute(select(rows, held, meta.c.terms_stale)).one()
    chunks: int = sizes[1]
    words = [f'"{one}"' for one in phrases(query) if not STOP_WORDS.issuperset(one.split())]
    # Filtering by scope takes longer than counting, so it is skipped if the scope is everything.
    counts = _counts(None if sizes[0] == chunks and not sizes[2] else scope)
    given = {"phrases": json.dumps(words), "ids": json.dumps(list(ids))}
    weights = {
        phrase: _weight(chunks, having) for phrase, having in connection.execute(counts, given)
    }
    found = dict.fromkeys(ids, 0.0)
    for id, phrase in connection.execute(_matches(len(ids)), given):
        found[id] += weights[phrase]
    return WordMatches(sum(weights.values()), _weight(chunks, 0), chunks, found)


def _weight(chunks: int, having: int) -> float:
    return math.log1p((chunks - having + 0.5) / (having + 0.5))


def _counts(scope: Select[tuple[int]] | None) -> Select[str, int]:
    """Each phrase, with the number of chunks of a scope that contain it."""
    count = (
        select(func.count())
        .select_from(chunk_terms)
        .where(chunk_terms_name.op("MATCH")(_PHRASES.c.value))
        .correlate(_PHRASES)
    )
    if scope is not None:
        count = count.where(_UNINDEXED_ROWID.in_(scope))
    return select(_PHRASES.c.value, count.scalar_subquery())


def _matches(chunks: int) -> Select[int, str]:
    """The id of a chunk and a phrase that it contains, one row for each."""
    rowid = _ROWID if chunks <= _MOST_LOOKUPS else _UNINDEXED_ROWID
    return (
        select(_ROWID, _PHRASES.c.value)
        .select_from(_PHRASES.join(text("chunk_terms"), true()))
        .where(chunk_terms_name.op("MATCH")(_PHRASES.c.value), rowid.in_(select(_IDS.c.value)))
    )
