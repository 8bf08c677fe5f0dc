"""The lexical index in SQLite: an FTS5 table.

FTS5 only stems words, with ``porter``, and drops the diacritics of Latin letters. It only knows the
whole table, so its BM25 is divided by its own inverse document frequency of each phrase; that of
the scope is in the weight that it is multiplied by.

The table is contentless: deleting a row requires the exact text that was indexed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row

from agentmem_storage import words
from agentmem_storage.sql.lexical import fts5_statements, indexed_texts
from agentmem_storage.sql.lexical.phrases import Among, Count, Counted, Weighted

# See `optimize`.
OPTIMIZE = "INSERT INTO chunk_terms (chunk_terms) VALUES ('optimize')"

# With more chunks than this, one scan of each phrase takes less time than a look-up for each chunk.
_MOST_LOOKUPS = 64
_UNCOUNTED = Counted(0, -1)


def count(
    connection: Connection,
    phrases: Sequence[str],
    *,
    scope: Among | None,
    allowed: Among | None,
    known: Mapping[str, Counted],
) -> list[Count]:
    """See `agentmem_storage.sql.lexical.terms.count`."""
    parts = {}
    if scope is not None:
        parts["scope"] = scope
    # If the whole scope is allowed, one count serves for both.
    if allowed is not None and allowed != scope:
        parts["allowed"] = allowed
    before = {phrase: known.get(phrase, _UNCOUNTED) for phrase in phrases}
    upto = {_quoted(phrase): one.upto for phrase, one in before.items()}
    given: dict[str, Any] = {"phrases": json.dumps(upto)}
    for name, part in parts.items():
        given |= fts5_statements.given(name, part)
    statement = fts5_statements.match_counts(*((name, part.shape) for name, part in parts.items()))
    found = {row[0]: row[1:] for row in connection.execute(statement, given).all()}

    def counted(phrase: str) -> Count:
        newer, *within = found[_quoted(phrase)]
        everywhere = before[phrase].rows + newer
        of_scope = everywhere if scope is None else within[0]
        return Count(phrase, everywhere, of_scope, within[-1] if within else everywhere)

    return [counted(phrase) for phrase in phrases]


def best(
    connection: Connection,
    leading: Sequence[Weighted],
    following: Sequence[Weighted],
    common: Sequence[Weighted],
    k: int,
    *,
    rows: int,
    shares: Mapping[str, float],
    counted: Mapping[str, int],
    allowed: Among | None,
) -> Sequence[Row[Any]]:
    """See `agentmem_storage.sql.lexical.terms.Index.best`."""
    given: dict[str, Any] = {"k": k}
    for name, phrases in (("leading", leading), ("following", following)):
        # The factor for FTS5's BM25 of each phrase that gives its BM25 within the scope.
        factors = {_quoted(one.phrase): one.weight / _rarity(rows, one.having) for one in phrases}
        given[name] = json.dumps(factors)
    # What has both is found by FTS5 itself, several times as fast as in a statement.
    led = " OR ".join(_quoted(one.phrase) for one in leading)
    both = {_quoted(one.phrase): f"({led}) AND {_quoted(one.phrase)}" for one in common}
    given["common"] = json.dumps(both)
    given["counted"] = json.dumps({_quoted(phrase): times for phrase, times in counted.items()})
    given["shares"] = json.dumps({_quoted(phrase): share for phrase, share in shares.items()})
    return connection.execute(
        fts5_statements.best(fts5_statements.shape(allowed)),
        given | fts5_statements.given("allowed", allowed),
    ).all()


def narrow(
    connection: Connection,
    rarest: str,
    shares: Mapping[str, float],
    most: int,
    *,
    allowed: Among | None,
) -> list[int]:
    """See `agentmem_storage.sql.lexical.terms.Index.narrow`."""
    both = {_quoted(one): f"{_quoted(rarest)} AND {_quoted(one)}" for one in shares}
    of_each = {_quoted(phrase): share for phrase, share in shares.items()}
    given: dict[str, Any] = {"common": json.dumps(both), "shares": json.dumps(of_each)}
    given |= {"most": most, "counted": "{}"}
    return list(
        connection.scalars(
            fts5_statements.narrow(fts5_statements.shape(allowed)),
            given | fts5_statements.given("allowed", allowed),
        )
    )


def containing(
    connection: Connection, phrases: Sequence[str], ids: Sequence[int]
) -> list[tuple[int, str]]:
    """See `agentmem_storage.sql.lexical.terms.Index.containing`."""
    by_name = {_quoted(phrase): phrase for phrase in phrases}
    given = {"phrases": json.dumps(list(by_name)), "ids": json.dumps(list(ids))}
    statement = fts5_statements.LOOKED_UP if len(ids) <= _MOST_LOOKUPS else fts5_statements.SCANNED
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


def _rarity(rows: int, having: int) -> float:
    """The inverse document frequency that FTS5 uses."""
    odds = (rows - having + 0.5) / (having + 0.5)
    return math.log(odds) if odds > 1 else 1e-6


def _command(connection: Connection, command: str) -> None:
    connection.exec_driver_sql("INSERT INTO chunk_terms (chunk_terms) VALUES (?)", (command,))
