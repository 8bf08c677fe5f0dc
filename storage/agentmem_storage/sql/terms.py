"""The lexical side: an FTS5 table that knows which words a chunk has, and not the text.

Words are what FTS5's ``unicode61`` takes for words, stemmed by ``porter``. It takes a run of
Chinese or Japanese signs for one word, so here each sign is one, and a query asks for pairs of
neighbors. Of "AB-1234" it makes two words; a query asks for both and for the whole.

``score = (sum of BM25 over what a chunk has of the query) * (how much of the query it has)``, both
counted in words and wholes: BM25 alone would put a short chunk with one rare word of the query
before a longer one that has three.

How rare a word is, is told within the scope that is asked: the name of who speaks says nothing
there, however rare it is among all users of a store, and what others wrote changes no ranking.
FTS5 knows the whole table only, so what it says is divided by its own rarity of each phrase and
multiplied by the scope's, ``log(1 + (N - n + 0.5) / (n + 0.5))`` for n of N chunks.

Where a query's words are in more than `LEADING` of the chunks asked for, only the rarest of them
find chunks; the others count for what these have found. To look at each of the many thousand
chunks that have a common word would take most of the time of a search, for what would stand at its
end.

The table is contentless: to delete a row, its text must be given once more, exactly as it was.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from sqlalchemy import (
    Connection,
    Float,
    Integer,
    Select,
    bindparam,
    func,
    literal_column,
    select,
    true,
    union_all,
)
from sqlalchemy.sql.expression import text

from agentmem_storage.records import Ranked
from agentmem_storage.sql.tables import (
    chunk_terms,
    chunk_terms_name,
    chunk_terms_sizes,
    meta,
)

# Without these every question would match every chunk, for nothing.
STOP_WORDS = frozenset(
    "a about an and any are as at be been but by can could did do does for from had has have he "
    "her him his how i if in is it its me my no not of on or our she should so that the their "
    "them then there these they this to us was we were what when where which who why will with "
    "would you your".split()
)
# A query of more is a text: its first words say what it is about, all would take long.
MAX_PHRASES = 64
# Chunks of a scope that the rarest words of a query may have together, and be looked for by them.
LEADING = 1_000
# An id of more parts is a text without spaces.
_MAX_PARTS = 8

_ROWID = literal_column("chunk_terms.rowid", Integer)
# The plus sign keeps SQLite from asking FTS5 once for each allowed id.
_UNASKED_ROWID = literal_column("+chunk_terms.rowid", Integer)
_BM25 = func.bm25(chunk_terms_name, type_=Float)

_SIGN = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LETTERS = f"(?:(?!{_SIGN.pattern})[^\\W_])+"
_RUNS = re.compile(f"{_SIGN.pattern}+|{_LETTERS}")
# Ids, addresses, versions, times, numbers, names: AB-1234, ana@example.com, 9:40, 1,200, O'Brien.
_JOINED = re.compile(f"{_LETTERS}(?:(?:[-_./:@'&+#]|(?<=\\d),(?=\\d)){_LETTERS})+")
# "what's", "she'd", "didn't": of these FTS5 makes words that say nothing, such as "s" and "didn".
_CONTRACTED = re.compile(r"\b[^\W\d_]+n't\b|(?<=[^\W_])'(?:s|t|d|m|re|ve|ll)\b", re.IGNORECASE)


def phrases(query: str) -> list[str]:
    """What a query asks for, as FTS5 phrases; none if it has no words.

    Any string will do: nothing in it is taken for an operator.
    """
    plain = unicodedata.normalize("NFC", query.encode("utf-8", "replace").decode())
    short = _CONTRACTED.sub(" ", plain.replace("\u2019", "'"))
    found = _wholes(short) + [one for one in _words(short) if one not in STOP_WORDS]
    return list(islice(dict.fromkeys(_phrases(found or _words(plain))), MAX_PHRASES))


def search(
    connection: Connection,
    query: str,
    k: int,
    among: Select[tuple[int]],
    scope: Select[tuple[int]],
) -> Ranked:
    """Find the k chunks that fit a query's words best, best first, ties by id.

    Args:
        connection: A transaction.
        query: Any string.
        k: How many at most.
        among: The only ids to consider; may be ``scope`` itself.
        scope: The ids among which a word is rare or common.
    """
    # To look every match up among the chunks takes longer than to find it. A scope that has as
    # many as there are rows has them all, unless rows of chunks that are gone stand among them.
    rows, held, stale = connection.execute(_sizes(scope)).one()
    whole = rows == held and not stale
    allowed = None if whole and among is scope else among
    within = None if whole else scope
    leading, following = _counts(connection, phrases(query), rows, held, within, allowed)
    statement = _EVERYWHERE if allowed is None else _best(allowed)
    given = {"leading": json.dumps(leading), "following": json.dumps(following), "k": k}
    best = connection.execute(statement, given).all()
    return Ranked(
        ids=np.array([one.id for one in best], dtype=np.int64),
        scores=np.array([one.score for one in best], dtype=np.float32),
    )


def _sizes(scope: Select[tuple[int]]) -> Select[*tuple[Any, ...]]:
    """Rows of the table, chunks of a scope, and whether rows of chunks that are gone are left."""
    rows, held = (
        select(func.count()).select_from(one).scalar_subquery()
        for one in (chunk_terms_sizes, scope.subquery())
    )
    return select(rows, held, meta.c.terms_stale)


def _best(allowed: Select[tuple[int]] | None) -> Select[tuple[int, float]]:
    """The best ``k`` of the allowed chunks that have one of the phrases ``leading``."""
    led = _matches("leading", allowed).cte("led")
    beside = _matches("following", select(led.c.id)).subquery("beside")
    matches = union_all(select(led), select(beside)).subquery("matches")
    # Rounded, since sums of the same parts in another order may differ in the last bit.
    score = func.round(-func.sum(matches.c.bm25) * func.count(), 9, type_=Float).label("score")
    return (
        select(matches.c.id, score)
        .group_by(matches.c.id)
        .order_by(score.desc(), matches.c.id)
        .limit(bindparam("k", type_=Integer))
    )


def _matches(counts: str, allowed: Select[tuple[int]] | None) -> Select[tuple[int, float]]:
    """Each allowed chunk that has a phrase, once for each phrase, and the phrase's BM25 there.

    ``counts`` names the parameter that has the phrases, and by what the BM25 of each is multiplied.
    """
    asked = func.json_each(bindparam(counts)).table_valued("key", "value")
    found = (
        select(_ROWID.label("id"), (_BM25 * asked.c.value).label("bm25"))
        .select_from(asked.join(text("chunk_terms"), true()))
        .where(chunk_terms_name.op("MATCH")(asked.c.key))
        # BM25 can be told only while FTS5 reads, so not where rows are grouped.
        .limit(-1)
    )
    return found if allowed is None else found.where(_UNASKED_ROWID.in_(allowed))


# The search of a whole store: to make the statement takes longer than to run it.
_EVERYWHERE = _best(None)


def _counts(
    connection: Connection,
    asked: list[str],
    rows: int,
    held: int,
    scope: Select[tuple[int]] | None,
    allowed: Select[tuple[int]] | None,
) -> tuple[dict[str, float], dict[str, float]]:
    """By what FTS5's BM25 of each phrase is multiplied, so that it counts as it does in a scope.

    The table has so many rows, and the scope holds so many of them; None is a scope of all, and
    where ``allowed`` is None, all may be found.

    Returns:
        The rarest phrases among what may be found, as many as `LEADING` allows and at least one,
        and all others.
    """
    # Where all of the scope may be found, one count serves for both.
    parts = [part for part in dict.fromkeys((scope, allowed)) if part is not None]
    statement = _having(parts) if parts else _EVERYWHERE_HAVING
    found = connection.execute(statement, {"phrases": json.dumps(asked)}).all()
    leading: dict[str, float] = {}
    following: dict[str, float] = {}
    led = 0
    for phrase, everywhere, *within in sorted(found, key=lambda row: row[-1]):
        n = everywhere if scope is None else within[0]
        findable = everywhere if allowed is None else within[-1]
        if findable:
            led += findable
            part = leading if led <= LEADING or not leading else following
            part[phrase] = math.log1p((held - n + 0.5) / (n + 0.5)) / _rarity(rows, everywhere)
    return leading, following


def _having(parts: Sequence[Select[tuple[int]]]) -> Select[*tuple[Any, ...]]:
    """Each phrase, how many rows have it, and how many of each part."""
    listed = func.json_each(bindparam("phrases")).table_valued("value", name="asked")
    # One count for each phrase: FTS5 then reads no more than which rows have it.
    having = (
        select(func.count())
        .select_from(chunk_terms)
        .where(chunk_terms_name.op("MATCH")(listed.c.value))
        .correlate(listed)
    )
    counted = [having, *(having.where(_UNASKED_ROWID.in_(part)) for part in parts)]
    return select(listed.c.value, *(one.scalar_subquery() for one in counted))


_EVERYWHERE_HAVING = _having([])


def _rarity(rows: int, having: int) -> float:
    """What FTS5 makes of a phrase that so many of all rows have."""
    rarity = math.log((rows - having + 0.5) / (having + 0.5))
    return rarity if rarity > 0 else 1e-6


def insert(connection: Connection, texts: Iterable[tuple[int, str]]) -> None:
    """Add rows: chunk ids and the text that each is to be found by."""
    rows = [(chunk_id, _spread(terms)) for chunk_id, terms in texts]
    if rows:
        connection.exec_driver_sql("INSERT INTO chunk_terms (rowid, terms) VALUES (?, ?)", rows)


def delete(connection: Connection, texts: Mapping[int, str]) -> None:
    """Take rows away; each text must be the one that was added."""
    rows = [(chunk_id, _spread(terms)) for chunk_id, terms in texts.items()]
    if rows:
        connection.exec_driver_sql(
            "INSERT INTO chunk_terms (chunk_terms, rowid, terms) VALUES ('delete', ?, ?)", rows
        )


def clear(connection: Connection) -> None:
    """Take all rows away."""
    _command(connection, "delete-all")


def optimize(connection: Connection) -> None:
    """Merge the whole index into one piece, which leaves nothing of rows that were deleted.

    Until then, FTS5 only notes beside a word that a row no longer has it.
    """
    _command(connection, "optimize")


def verify(connection: Connection) -> None:
    """Let FTS5 check its own structure, in a transaction that writes.

    Raises:
        StoreError: By way of the transaction, if it is damaged.
    """
    _command(connection, "integrity-check")


def known_ids(connection: Connection) -> Iterator[int]:
    """Ids of all rows, ascending."""
    yield from connection.scalars(select(chunk_terms_sizes.c.id).order_by(chunk_terms_sizes.c.id))


def _command(connection: Connection, command: str) -> None:
    connection.exec_driver_sql("INSERT INTO chunk_terms (chunk_terms) VALUES (?)", (command,))


def _spread(terms: str) -> str:
    """Set each Chinese or Japanese sign apart, so that it is a word."""
    return _SIGN.sub(r" \g<0> ", terms)


def _words(text: str) -> list[str]:
    return [run.lower() for run in _RUNS.findall(text)]


def _wholes(text: str) -> list[str]:
    """What stands together and has a word that tells something, parts apart by spaces."""
    found = []
    for match in _JOINED.finditer(text):
        parts = _words(match[0])
        if len(parts) <= _MAX_PARTS and not STOP_WORDS.issuperset(parts):
            found.append(" ".join(parts))
    return found


def _phrases(asked: Iterable[str]) -> Iterator[str]:
    for one in asked:
        if _SIGN.match(one) and len(one) > 1:
            for first, second in zip(one, one[1:], strict=False):
                yield f'"{first} {second}"'
        else:
            yield f'"{one}"'
