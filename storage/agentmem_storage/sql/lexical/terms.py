"""Lexical search: an FTS5 index of the words of each chunk, without its text.

`agentmem_storage.words` splits texts and queries into words; FTS5 only stems them, with ``porter``,
and drops the diacritics of Latin letters.

``score = sqrt(bm25 * phrases) * share``, with the sum of BM25 over the query's phrases in the
chunk, the number of those phrases, and their share of the weight of all the query's phrases, each
weighed by how rare it is: BM25 alone would rank a short chunk with one rare word of the query above
a longer one with three. A word that only may be a name adds `POSSIBLE_SHARE` of its BM25 and of its
weight, and is not counted. The form was chosen on notes, documents and dialogues that no network
was trained on, see benchmarks/LOG.md.

How rare a word is depends on the scope that is searched: within one user's memories the user's name
carries no information, however rare it is in the whole store, and what others write must not change
a ranking. FTS5 only knows the whole table, so its BM25 is divided by its own inverse document
frequency of each phrase and multiplied by that of the scope,
``log(1 + (N - n + 0.5) / (n + 0.5))`` for n of N chunks.

If a query's words occur in more than `MAX_LEADING` of the chunks searched, only the rarest of them
select candidates, and the others only contribute to the scores of these. Scoring all of the many
thousand chunks that contain a common word would take most of the time of a search, for chunks at
the end of the ranking.

The table is contentless: deleting a row requires the exact text that was indexed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import (
    Connection,
    Float,
    Integer,
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
from agentmem_storage.records import Ranked
from agentmem_storage.sql.lexical import indexed_texts
from agentmem_storage.sql.schema.tables import chunk_terms, chunk_terms_name, chunk_terms_sizes

# A longer query is a text. Its rarest phrases are searched, wherever they stand in it.
MAX_PHRASES = 64
# The most chunks, in total, that the rarest words of a query may select as candidates.
MAX_LEADING = 1_000
# The part of its weight that a phrase has which only may be meant: it decides between equals.
POSSIBLE_SHARE = 0.4

# See `optimize`.
OPTIMIZE = "INSERT INTO chunk_terms (chunk_terms) VALUES ('optimize')"

_ROWID = literal_column("chunk_terms.rowid", Integer)
# The unary plus keeps SQLite from querying FTS5 once per allowed id.
_UNINDEXED_ROWID = literal_column("+chunk_terms.rowid", Integer)
_BM25 = func.bm25(chunk_terms_name, type_=Float)


class Count(NamedTuple):
    """In how many chunks a phrase of a query occurs.

    Attributes:
        phrase: Its words.
        everywhere: Rows of the table that contain it.
        scope: Chunks of the scope.
        allowed: Chunks that may be found.
    """

    phrase: str
    everywhere: int
    scope: int
    allowed: int


def count(
    connection: Connection, phrases: Sequence[str], *, scope: str | None, allowed: str | None
) -> list[Count]:
    """Count the chunks that contain each phrase, in the order of the phrases.

    Args:
        connection: A transaction.
        phrases: As `agentmem_storage.words` gives them.
        scope: The ids of the scope, as JSON; None if it is the whole table.
        allowed: The ids to consider, likewise; they are of the scope.
    """
    parts = {}
    if scope is not None:
        parts["scope"] = scope
    # If the whole scope is allowed, one count serves for both.
    if allowed is not None and allowed != scope:
        parts["allowed"] = allowed
    if not phrases:
        return []
    given = {"phrases": json.dumps([quoted(phrase) for phrase in phrases]), **parts}
    found = {row[0]: row[1:] for row in connection.execute(_COUNTS[tuple(parts)], given).all()}

    def counted(phrase: str) -> Count:
        everywhere, *within = found[quoted(phrase)]
        of_scope = everywhere if scope is None else within[0]
        return Count(phrase, everywhere, of_scope, within[-1] if within else everywhere)

    return [counted(phrase) for phrase in phrases]


def search(
    connection: Connection,
    counts: Sequence[Count],
    k: int,
    *,
    rows: int,
    held: int,
    allowed: str | None,
    possible: Collection[str] = (),
) -> Ranked:
    """Find the k chunks that match a query's phrases best, best first, ties by id.

    Args:
        connection: A transaction.
        counts: Of the phrases, from `count`.
        k: Maximum number of results.
        rows: Number of rows of the table.
        held: Number of chunks in the scope.
        allowed: The ids to consider, as JSON; None if all are allowed.
        possible: Those of the phrases that only may be meant.
    """
    leading, following = _weights(counts, rows, held, possible)
    shares = _shares(counts, held, possible)
    if not leading:
        return Ranked(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
    given: dict[str, Any] = {"k": k}
    given |= {"leading": json.dumps(leading), "following": json.dumps(following)}
    given["possible"] = json.dumps([quoted(one) for one in possible])
    given["shares"] = json.dumps(shares)
    if allowed is not None:
        given["allowed"] = allowed
    best = connection.execute(_EVERYWHERE if allowed is None else _AMONG, given).all()
    return Ranked(
        ids=np.array([one.id for one in best], dtype=np.int64),
        scores=np.sqrt([one.score for one in best], dtype=np.float32),
        coverage=min(1.0, best[0].share) if best else 0.0,
    )


def quoted(phrase: str) -> str:
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


# Compiled once: compiling takes longer than running.
_EVERYWHERE = _best(None)
_AMONG = _best(_listed("allowed"))


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


_COUNTS: dict[tuple[str, ...], Select[*tuple[Any, ...]]] = {
    parts: _match_counts(parts) for parts in ((), ("scope",), ("allowed",), ("scope", "allowed"))
}


def _weights(
    counts: Sequence[Count], rows: int, held: int, possible: Collection[str]
) -> tuple[dict[str, float], dict[str, float]]:
    """The factor for FTS5's BM25 of each phrase that gives its BM25 within the scope.

    Args:
        counts: Of the phrases.
        rows: Number of rows of the table.
        held: Number of chunks in the scope.
        possible: Those of the phrases that only may be meant.

    Returns:
        Of the `MAX_PHRASES` rarest, those that lead, as many as `MAX_LEADING` permits but at least
        one, and the others.
    """
    found = [one for one in counts if one.allowed]
    # Among equally rare ones the longer; never the earlier, for a question may stand anywhere.
    found.sort(key=lambda one: (one.phrase in possible, one.allowed, -len(one.phrase), one.phrase))
    leading: dict[str, float] = {}
    following: dict[str, float] = {}
    led = 0
    for phrase, everywhere, n, allowed in found[:MAX_PHRASES]:
        led += allowed
        part = leading if led <= MAX_LEADING or not leading else following
        share = POSSIBLE_SHARE if phrase in possible else 1.0
        rarity = math.log1p((held - n + 0.5) / (n + 0.5))
        part[quoted(phrase)] = share * rarity / _rarity(rows, everywhere)
    return leading, following


def _shares(counts: Sequence[Count], held: int, possible: Collection[str]) -> dict[str, float]:
    """The share of each phrase in the weight of a query; those certainly meant add up to 1."""
    weights = {
        one.phrase: math.log1p((held - one.scope + 0.5) / (one.scope + 0.5)) for one in counts
    }
    total = sum(weight for phrase, weight in weights.items() if phrase not in possible)
    total = total or sum(weights.values())
    return {
        quoted(phrase): weight / total * (POSSIBLE_SHARE if phrase in possible else 1.0)
        for phrase, weight in weights.items()
    }


def _rarity(rows: int, having: int) -> float:
    """The inverse document frequency that FTS5 uses."""
    rarity = math.log((rows - having + 0.5) / (having + 0.5))
    return rarity if rarity > 0 else 1e-6


def insert(connection: Connection, texts: Iterable[tuple[int, str]]) -> None:
    """Add rows: chunk ids and the text to index for each."""
    rows = [(chunk_id, words.index_text(terms)) for chunk_id, terms in texts]
    if rows:
        connection.exec_driver_sql("INSERT INTO chunk_terms (rowid, terms) VALUES (?, ?)", rows)
        indexed_texts.note(connection, rows)


def delete(connection: Connection, texts: Mapping[int, str]) -> None:
    """Delete rows; each text must be the one that was indexed."""
    rows = [(chunk_id, words.index_text(terms)) for chunk_id, terms in texts.items()]
    if rows:
        connection.exec_driver_sql(
            "INSERT INTO chunk_terms (chunk_terms, rowid, terms) VALUES ('delete', ?, ?)", rows
        )
        indexed_texts.drop(connection, texts)


def clear(connection: Connection) -> None:
    """Delete all rows."""
    _command(connection, "delete-all")
    indexed_texts.clear(connection)


def optimize(connection: Connection) -> None:
    """Merge the index into one segment, which removes all traces of deleted rows.

    Until then, FTS5 only adds markers that a row no longer contains a word.
    """
    connection.exec_driver_sql(OPTIMIZE)


def verify(connection: Connection) -> None:
    """Run FTS5's integrity check, in a write transaction.

    Raises:
        StoreError: It is damaged; raised by the transaction.
    """
    _command(connection, "integrity-check")


def known_ids(connection: Connection) -> Iterator[int]:
    """Ids of all rows, ascending."""
    yield from connection.scalars(select(chunk_terms_sizes.c.id).order_by(chunk_terms_sizes.c.id))


def _command(connection: Connection, command: str) -> None:
    connection.exec_driver_sql("INSERT INTO chunk_terms (chunk_terms) VALUES (?)", (command,))
