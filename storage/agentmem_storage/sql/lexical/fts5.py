"""The lexical index in SQLite: an FTS5 table.

FTS5 only stems words, with ``porter``, and drops the diacritics of Latin letters. It only knows the
whole table, so its BM25 is divided by its own inverse document frequency of each phrase; that of
the scope is in the weight that it is multiplied by.

The table is contentless: deleting a row requires the exact text that was indexed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Integer,
    Row,
    Select,
    bindparam,
    column,
    func,
    literal_column,
    select,
    true,
    union_all,
)
from sqlalchemy.sql.expression import text

from agentmem_storage import words
from agentmem_storage.sql.lexical import indexed_texts
from agentmem_storage.sql.lexical.phrases import Count, Weighted
from agentmem_storage.sql.schema.tables import chunk_terms, chunk_terms_name

# See `optimize`.
OPTIMIZE = "INSERT INTO chunk_terms (chunk_terms) VALUES ('optimize')"

# With more chunks than this, one scan of each phrase takes less time than a look-up for each chunk.
_MOST_LOOKUPS = 64

_ROWID = literal_column("chunk_terms.rowid", Integer)
# The unary plus keeps SQLite from querying FTS5 once per allowed id.
_UNINDEXED_ROWID = literal_column("+chunk_terms.rowid", Integer)
_BM25 = func.bm25(chunk_terms_name, type_=Float)
_PHRASES = func.json_each(bindparam("phrases")).table_valued("value", name="phrase")
_IDS = func.json_each(bindparam("ids")).table_valued("value", name="chunk")


def count(
    connection: Connection, phrases: Sequence[str], *, scope: str | None, allowed: str | None
) -> list[Count]:
    """See `agentmem_storage.sql.lexical.terms.count`."""
    parts = {}
    if scope is not None:
        parts["scope"] = scope
    # If the whole scope is allowed, one count serves for both.
    if allowed is not None and allowed != scope:
        parts["allowed"] = allowed
    given = {"phrases": json.dumps([_quoted(phrase) for phrase in phrases]), **parts}
    found = {row[0]: row[1:] for row in connection.execute(_COUNTS[tuple(parts)], given).all()}

    def counted(phrase: str) -> Count:
        everywhere, *within = found[_quoted(phrase)]
        of_scope = everywhere if scope is None else within[0]
        return Count(phrase, everywhere, of_scope, within[-1] if within else everywhere)

    return [counted(phrase) for phrase in phrases]


def best(
    connection: Connection,
    leading: Sequence[Weighted],
    following: Sequence[Weighted],
    k: int,
    *,
    rows: int,
    shares: Mapping[str, float],
    possible: Collection[str],
    allowed: str | None,
) -> Sequence[Row[Any]]:
    """See `agentmem_storage.sql.lexical.terms.Index.best`."""
    given: dict[str, Any] = {"k": k}
    for name, phrases in (("leading", leading), ("following", following)):
        # The factor for FTS5's BM25 of each phrase that gives its BM25 within the scope.
        factors = {_quoted(one.phrase): one.weight / _rarity(rows, one.having) for one in phrases}
        given[name] = json.dumps(factors)
    given["possible"] = json.dumps([_quoted(one) for one in possible])
    given["shares"] = json.dumps({_quoted(phrase): share for phrase, share in shares.items()})
    if allowed is not None:
        given["allowed"] = allowed
    return connection.execute(_EVERYWHERE if allowed is None else _AMONG, given).all()


def containing(
    connection: Connection, phrases: Sequence[str], ids: Sequence[int]
) -> list[tuple[int, str]]:
    """See `agentmem_storage.sql.lexical.terms.Index.containing`."""
    by_name = {_quoted(phrase): phrase for phrase in phrases}
    given = {"phrases": json.dumps(list(by_name)), "ids": json.dumps(list(ids))}
    statement = _LOOKED_UP if len(ids) <= _MOST_LOOKUPS else _SCANNED
    return [(id, by_name[name]) for id, name in connection.execute(statement, given).all()]


def insert(connection: Connection, texts: Iterable[tuple[int, str]]) -> None:
    """See `agentmem_storage.sql.lexical.terms.insert`."""
    rows = [(chunk_id, words.index_text(terms)) for chunk_id, terms in texts]
    if rows:
        connection.exec_driver_sql("INSERT INTO chunk_terms (rowid, terms) VALUES (?, ?)", rows)
        indexed_texts.note(connection, rows)


def delete(connection: Connection, texts: Mapping[int, str]) -> None:
    """See `agentmem_storage.sql.lexical.terms.delete`."""
    rows = [(chunk_id, words.index_text(terms)) for chunk_id, terms in texts.items()]
    if rows:
        connection.exec_driver_sql(
            "INSERT INTO chunk_terms (chunk_terms, rowid, terms) VALUES ('delete', ?, ?)", rows
        )
        indexed_texts.drop(connection, texts)


def clear(connection: Connection) -> None:
    """See `agentmem_storage.sql.lexical.terms.clear`."""
    _command(connection, "delete-all")
    indexed_texts.clear(connection)


def optimize(connection: Connection) -> None:
    """See `agentmem_storage.sql.lexical.terms.optimize`.

    Until then, FTS5 only adds markers that a row no longer contains a word.
    """
    connection.exec_driver_sql(OPTIMIZE)


def verify(connection: Connection) -> None:
    """See `agentmem_storage.sql.lexical.terms.verify`."""
    _command(connection, "integrity-check")


def _quoted(phrase: str) -> str:
    """A phrase as FTS5 takes it."""
    return f'"{phrase}"'


def _listed(name: str) -> Select[tuple[int]]:
    """The ids that a parameter lists as JSON."""
    values = func.json_each(bindparam(name)).table_valued(column("value", Integer), name=name)
    return select(values.c.value)


def _best(allowed: Select[tuple[int]] | None) -> Select[tuple[int, float, float]]:
    """The best ``k`` of the allowed chunks that contain one of the phrases ``leading``."""
    led = _matches("leading", allowed).cte("led")
    others = _matches("following", select(led.c.id)).subquery("others")
    matches = union_all(select(led), select(others)).subquery("matches")
    # Its square, because not every SQLite has a square root. Rounded, because sums may depend on
    # the order of their terms in the last bit.
    share = func.sum(matches.c.share, type_=Float).label("share")
    bm25 = -func.sum(matches.c.bm25) * func.max(1, func.sum(matches.c.counted))
    score = func.round(bm25 * share * share, 9, type_=Float).label("score")
    return (
        select(matches.c.id, score, share)
        .group_by(matches.c.id)
        .order_by(score.desc(), matches.c.id)
        .limit(bindparam("k", type_=Integer))
    )


def _matches(
    counts: str, allowed: Select[tuple[int]] | None
) -> Select[tuple[int, float, int, float]]:
    """Allowed chunks that contain a phrase, one row per phrase, with its weighted BM25 and share.

    ``counts`` is the name of the parameter with the phrases and their weights.
    """
    weights = func.json_each(bindparam(counts)).table_valued("key", "value")
    possible = func.json_each(bindparam("possible")).table_valued("value", name="possible")
    counted = weights.c.key.not_in(select(possible.c.value)).cast(Integer).label("counted")
    shares = func.json_each(bindparam("shares")).table_valued("key", "value", name="shares")
    phrases = weights.join(shares, shares.c.key == weights.c.key)
    found = (
        select(
            _ROWID.label("id"),
            (_BM25 * weights.c.value).label("bm25"),
            counted,
            shares.c.value.label("share"),
        )
        .select_from(phrases.join(text("chunk_terms"), true()))
        .where(chunk_terms_name.op("MATCH")(weights.c.key))
        # bm25() works only while FTS5 scans, not in a grouped query; LIMIT prevents flattening.
        .limit(-1)
    )
    return found if allowed is None else found.where(_UNINDEXED_ROWID.in_(allowed))


def _match_counts(parts: Sequence[str]) -> Select[*tuple[Any, ...]]:
    """Each phrase, with the number of rows that contain it in the table and in each part."""
    listed = func.json_each(bindparam("phrases")).table_valued("value", name="phrase")
    # One count per phrase: FTS5 then reads only which rows contain it.
    count = (
        select(func.count())
        .select_from(chunk_terms)
        .where(chunk_terms_name.op("MATCH")(listed.c.value))
        .correlate(listed)
    )
    counts = [count, *(count.where(_UNINDEXED_ROWID.in_(_listed(part))) for part in parts)]
    return select(listed.c.value, *(one.scalar_subquery() for one in counts))


def _holding(rowid: ColumnElement[int]) -> Select[int, str]:
    """The id of a chunk and a phrase that it contains, one row for each."""
    return (
        select(_ROWID, _PHRASES.c.value)
        .select_from(_PHRASES.join(text("chunk_terms"), true()))
        .where(chunk_terms_name.op("MATCH")(_PHRASES.c.value), rowid.in_(select(_IDS.c.value)))
    )


# Compiled once: compiling takes longer than running.
_EVERYWHERE = _best(None)
_AMONG = _best(_listed("allowed"))
_LOOKED_UP = _holding(_ROWID)
_SCANNED = _holding(_UNINDEXED_ROWID)
_COUNTS: dict[tuple[str, ...], Select[*tuple[Any, ...]]] = {
    parts: _match_counts(parts) for parts in ((), ("scope",), ("allowed",), ("scope", "allowed"))
}


def _rarity(rows: int, having: int) -> float:
    """The inverse document frequency that FTS5 uses."""
    rarity = math.log((rows - having + 0.5) / (having + 0.5))
    return rarity if rarity > 0 else 1e-6


def _command(connection: Connection, command: str) -> None:
    connection.exec_driver_sql("INSERT INTO chunk_terms (chunk_terms) VALUES (?)", (command,))
