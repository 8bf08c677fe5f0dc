"""Which words of a query a few chunks contain, and how rare these words are in a scope."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    bindparam,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.sql.expression import text

from agentmem_storage.records import WordMatches
from agentmem_storage.sql.lexical.terms import quoted
from agentmem_storage.sql.schema.tables import chunk_terms_name
from agentmem_storage.words import STOP_WORDS, asks_nothing, phrases

# With more chunks than this, one scan of each phrase takes less time than a look-up for each chunk.
_MOST_LOOKUPS = 64

_ROWID = literal_column("chunk_terms.rowid", Integer)
# The unary plus keeps SQLite from querying FTS5 once per allowed id.
_UNINDEXED_ROWID = literal_column("+chunk_terms.rowid", Integer)
_PHRASES = func.json_each(bindparam("phrases")).table_valued("value", name="phrase")
_IDS = func.json_each(bindparam("ids")).table_valued("value", name="chunk")


def meaningful(query: str) -> list[str]:
    """The phrases of a query that count: none of stop words alone, or if they ask nothing."""
    if asks_nothing(query):
        return []
    return [one for one in phrases(query) if not STOP_WORDS.issuperset(one.split())]


def word_matches(
    connection: Connection, counts: Mapping[str, int], ids: Sequence[int], chunks: int
) -> WordMatches:
    """See `agentmem_storage.snapshot.Snapshot.word_matches`.

    Args:
        connection: A transaction.
        counts: By phrase, the number of chunks of the scope that contain it.
        ids: The chunks to look at.
        chunks: Number of chunks in the scope.
    """
    weights = {quoted(phrase): _weight(chunks, having) for phrase, having in counts.items()}
    found = dict.fromkeys(ids, 0.0)
    if found and weights:
        given = {"phrases": json.dumps(list(weights)), "ids": json.dumps(list(found))}
        statement = _LOOKED_UP if len(ids) <= _MOST_LOOKUPS else _SCANNED
        for id, phrase in connection.execute(statement, given).all():
            found[id] += weights[phrase]
    return WordMatches(sum(weights.values()), _weight(chunks, 0), chunks, found)


def _weight(chunks: int, having: int) -> float:
    return math.log1p((chunks - having + 0.5) / (having + 0.5))


def _matches(rowid: ColumnElement[int]) -> Select[int, str]:
    """The id of a chunk and a phrase that it contains, one row for each."""
    return (
        select(_ROWID, _PHRASES.c.value)
        .select_from(_PHRASES.join(text("chunk_terms"), true()))
        .where(chunk_terms_name.op("MATCH")(_PHRASES.c.value), rowid.in_(select(_IDS.c.value)))
    )


# Compiled once: compiling takes longer than running.
_LOOKED_UP = _matches(_ROWID)
_SCANNED = _matches(_UNINDEXED_ROWID)
