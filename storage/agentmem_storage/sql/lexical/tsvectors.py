"""The lexical index in PostgreSQL: a ``tsvector`` for each chunk, and a GIN index over them.

Its words are those of FTS5, with their places, so phrases match as they do in SQLite; PostgreSQL's
own dictionaries have no part in it. The sum of BM25 is computed as FTS5 does, from the number of
times that a phrase occurs in a chunk, the number of the chunk's words, and the mean of these over
all chunks, of which the totals are kept.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Float, Integer, Row, text

from agentmem_storage import words
from agentmem_storage.sql.lexical.phrases import Among, Count, Counted, Weighted
from agentmem_storage.sql.lexical.tokens import tokens_of

# FTS5's parameters of BM25.
_K1, _B = 1.2, 0.75
# PostgreSQL keeps no more of a word in one text; no chunk has so many.
_MOST_PLACES: Final = 255
_LAST_PLACE: Final = 16_382
# Longer words, which PostgreSQL may refuse, are kept as their hashes.
_LONGEST: Final = 200

_PHRASES = (
    "WITH phrases AS (SELECT * FROM json_to_recordset(CAST(:phrases AS json)) AS p ("
    "phrase text, words text[], query text, leads boolean, weighed boolean, "
    "weight double precision, counted integer, share double precision))"
)
_AMONG = "SELECT value FROM json_each(CAST(:{} AS text))"
_COUNT = "(SELECT count(*) FROM chunk_terms t WHERE t.terms @@ CAST(p.query AS tsquery){})"
_BEST = """
, led AS (
    SELECT DISTINCT t.id FROM phrases p
    JOIN chunk_terms t ON t.terms @@ CAST(p.query AS tsquery) WHERE p.leads{among}
), matches AS (
    SELECT t.id, p.share, p.counted, CASE WHEN p.weighed THEN p.share ELSE 0 END AS weighed,
        CASE WHEN p.weighed THEN p.weight * f.times * {high}
        / (f.times + {k1} * ({rest} + {b} * t.size / mean.size)) ELSE 0 END AS bm25
    FROM led
    JOIN chunk_terms t ON t.id = led.id
    JOIN phrases p ON t.terms @@ CAST(p.query AS tsquery)
    CROSS JOIN LATERAL (
        SELECT CAST(agentmem_occurrences(t.terms, p.words) AS double precision) AS times
    ) f
    CROSS JOIN (
        SELECT CAST(tokens AS double precision) / nullif(indexed, 0) AS size FROM totals
    ) mean
)
SELECT id, CAST(round(CAST(
    sum(bm25) * greatest(1, sum(counted)) * (sum(share) / sum(weighed)) * sum(share) * sum(share)
    AS numeric
), 9) AS double precision) AS score, sum(share) AS share
FROM matches GROUP BY id ORDER BY score DESC, id LIMIT :k
"""
_NARROW = """
SELECT t.id FROM phrases p
JOIN chunk_terms t ON t.terms @@ CAST(p.query AS tsquery)
WHERE NOT p.leads AND t.terms @@ (SELECT CAST(query AS tsquery) FROM phrases WHERE leads){among}
GROUP BY t.id ORDER BY sum(p.share) DESC, t.id DESC LIMIT :most
"""
_CONTAINING = text(
    f"{_PHRASES} SELECT t.id, p.phrase FROM phrases p JOIN chunk_terms t "
    f"ON t.terms @@ CAST(p.query AS tsquery) WHERE t.id IN ({_AMONG.format('ids')})"
).columns(id=Integer)


def _best(among: str) -> Any:
    statement = _PHRASES + _BEST.format(among=among, high=_K1 + 1, k1=_K1, rest=1 - _B, b=_B)
    return text(statement).columns(id=Integer, score=Float, share=Float)


_IN_ALLOWED = f" AND t.id IN ({_AMONG.format('allowed')})"
_EVERYWHERE = _best("")
_ALLOWED = _best(_IN_ALLOWED)
_NARROW_EVERYWHERE = text(_PHRASES + _NARROW.format(among="")).columns(id=Integer)
_NARROW_ALLOWED = text(_PHRASES + _NARROW.format(among=_IN_ALLOWED)).columns(id=Integer)


def count(
    connection: Connection,
    phrases: Sequence[str],
    *,
    scope: Among | None,
    allowed: Among | None,
    known: Mapping[str, Counted],
) -> list[Count]:
    """See `agentmem_storage.sql.lexical.terms.count`; nothing is known before.

    How many there are everywhere is counted only if that is the scope: no score depends on it.
    """
    parts = {"scope": scope, "allowed": None if allowed == scope else allowed}
    given = {name: part.json for name, part in parts.items() if part is not None}
    within = {name: _COUNT.format(f" AND t.id IN ({_AMONG.format(name)})") for name in given}
    if scope is None:
        within = {"everywhere": _COUNT.format(""), **within}
    listed = ", ".join(f"{counted} AS {name}" for name, counted in within.items())
    statement = text(f"{_PHRASES} SELECT p.phrase, {listed} FROM phrases p")
    rows = connection.execute(statement, {"phrases": _given(phrases), **given})
    found = {row.phrase: row._mapping for row in rows}

    def counted(phrase: str) -> Count:
        if phrase not in found:
            return Count(phrase, 0, 0, 0)
        everywhere = found[phrase].get("everywhere", 0)
        of_scope = found[phrase].get("scope", everywhere)
        return Count(phrase, everywhere, of_scope, found[phrase].get("allowed", of_scope))

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
    known = {
        one.phrase: {
            "leads": part is leading,
            "weighed": part is not common,
            "weight": one.weight,
            "counted": counted.get(one.phrase, 1),
            "share": shares[one.phrase],
        }
        for part in (leading, following, common)
        for one in part
    }
    given: dict[str, Any] = {"phrases": _given(known, known), "k": k}
    if allowed is not None:
        given["allowed"] = allowed.json
    return connection.execute(_EVERYWHERE if allowed is None else _ALLOWED, given).all()


def narrow(
    connection: Connection,
    rarest: str,
    shares: Mapping[str, float],
    most: int,
    *,
    allowed: Among | None,
) -> list[int]:
    """See `agentmem_storage.sql.lexical.terms.Index.narrow`."""
    known: dict[str, dict[str, Any]] = {
        phrase: {"leads": False, "share": share} for phrase, share in shares.items()
    }
    known[rarest] = {"leads": True}
    given: dict[str, Any] = {"phrases": _given(known, known), "most": most}
    if allowed is not None:
        given["allowed"] = allowed.json
    statement = _NARROW_EVERYWHERE if allowed is None else _NARROW_ALLOWED
    return list(connection.scalars(statement, given))


def containing(
    connection: Connection, phrases: Sequence[str], ids: Sequence[int]
) -> list[tuple[int, str]]:
    """See `agentmem_storage.sql.lexical.terms.Index.containing`."""
    given = {"phrases": _given(phrases), "ids": json.dumps(list(ids))}
    return [(row.id, row.phrase) for row in connection.execute(_CONTAINING, given)]


def insert(connection: Connection, texts: Iterable[tuple[int, str]]) -> None:
    """See `agentmem_storage.sql.lexical.terms.insert`."""
    listed = dict(texts)
    made = tokens_of(map(words.index_text, listed.values()))
    rows = [(id, len(tokens), _vector(tokens)) for id, tokens in zip(listed, made, strict=True)]
    if rows:
        connection.exec_driver_sql(
            "INSERT INTO chunk_terms (id, size, terms) VALUES (?, ?, CAST(? AS tsvector))", rows
        )
        _add(connection, len(rows), sum(size for _, size, _ in rows))


def delete(connection: Connection, texts: Mapping[int, str]) -> None:
    """See `agentmem_storage.sql.lexical.terms.delete`."""
    if texts:
        sizes = connection.exec_driver_sql(
            "DELETE FROM chunk_terms WHERE id IN (SELECT value FROM json_each(?)) RETURNING size",
            (json.dumps(list(texts)),),
        )
        gone = [row.size for row in sizes]
        _add(connection, -len(gone), -sum(gone))


def clear(connection: Connection) -> None:
    """See `agentmem_storage.sql.lexical.terms.clear`."""
    connection.exec_driver_sql("DELETE FROM chunk_terms")
    connection.exec_driver_sql("UPDATE totals SET indexed = 0, tokens = 0")


def optimize(connection: Connection) -> None:
    """See `agentmem_storage.sql.lexical.terms.optimize`: `AnyDatabase.purge` does that."""


def verify(connection: Connection) -> None:
    """See `agentmem_storage.sql.lexical.terms.verify`: PostgreSQL needs no such check."""


def totals_hold(connection: Connection) -> bool:
    """Whether the totals are those of the rows."""
    query = (
        "SELECT chunks = (SELECT count(*) FROM chunks), "
        "indexed = (SELECT count(*) FROM chunk_terms), "
        "tokens = (SELECT coalesce(sum(size), 0) FROM chunk_terms) FROM totals"
    )
    rows = connection.exec_driver_sql(query).all()
    return len(rows) == 1 and all(rows[0])


def reset(connection: Connection) -> None:
    """Delete all rows, and write the totals anew."""
    clear(connection)
    connection.exec_driver_sql("UPDATE totals SET chunks = (SELECT count(*) FROM chunks)")


def sizes(connection: Connection) -> dict[int, int]:
    """The number of words of each chunk, by its id."""
    rows = connection.exec_driver_sql("SELECT id, size FROM chunk_terms")
    return {row.id: row.size for row in rows}


def instances(connection: Connection) -> Iterator[tuple[int, str, int]]:
    """Each word of each chunk with its place, as `kept` has them."""
    rows = connection.exec_driver_sql(
        "SELECT t.id, w.lexeme, place FROM chunk_terms t CROSS JOIN LATERAL unnest(t.terms) w "
        "CROSS JOIN LATERAL unnest(w.positions) place"
    )
    yield from (tuple(row) for row in rows)


def kept(tokens: Sequence[str]) -> dict[str, list[int]]:
    """What is kept of a text: its words, and the places of each, from 1."""
    found: dict[str, list[int]] = defaultdict(list)
    for place, token in enumerate(tokens[:_LAST_PLACE], start=1):
        places = found[_lexeme(token)]
        if len(places) < _MOST_PLACES:
            places.append(place)
    return found


def _vector(tokens: Sequence[str]) -> str:
    return " ".join(
        f"{_quoted(lexeme)}:{','.join(map(str, places))}" for lexeme, places in kept(tokens).items()
    )


def _given(phrases: Iterable[str], known: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """Phrases as a parameter of statements; those without words are left out."""
    listed = list(phrases)
    rows = []
    for phrase, tokens in zip(listed, tokens_of(listed), strict=True):
        lexemes = [_lexeme(token) for token in tokens]
        if lexemes:
            query = " <-> ".join(map(_quoted, lexemes))
            row = {"phrase": phrase, "words": lexemes, "query": query}
            rows.append({**row, **(known[phrase] if known else {})})
    return json.dumps(rows)


def _lexeme(token: str) -> str:
    """A word as PostgreSQL can keep it."""
    if len(token) <= _LONGEST and "\0" not in token:
        return token
    return hashlib.sha256(token.encode()).hexdigest()


def _quoted(lexeme: str) -> str:
    escaped = lexeme.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _add(connection: Connection, rows: int, tokens: int) -> None:
    connection.exec_driver_sql(
        "UPDATE totals SET indexed = indexed + ?, tokens = tokens + ?", (rows, tokens)
    )
