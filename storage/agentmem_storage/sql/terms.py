"""The lexical side: an FTS5 table that knows which words a chunk has, and not the text.

Words are what FTS5's ``unicode61`` takes for words, stemmed by ``porter``. It takes a run of
Chinese or Japanese signs for one word, so here each sign is one, and a query asks for pairs of
neighbours.

The table is contentless: to delete a row, its text must be given once more, exactly as it was.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

import numpy as np
from sqlalchemy import Connection, Float, Integer, Select, func, literal_column, select
from sqlalchemy.sql.expression import text

from agentmem_storage.records import Ranked
from agentmem_storage.sql.tables import chunk_terms_name, chunk_terms_sizes, chunks

# Without these every question would match every chunk, for nothing.
STOP_WORDS = frozenset(
    "a about an and any are as at be been but by can could did do does for from had has have he "
    "her him his how i if in is it its me my no not of on or our she should so that the their "
    "them then there these they this to us was we were what when where which who why will with "
    "would you your".split()
)
# A query of more words is a text: its first words say what it is about, all would take long.
MAX_WORDS = 64

_SIGN = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_RUNS = re.compile(f"{_SIGN.pattern}+|(?:(?!{_SIGN.pattern})[^\\W_])+")


def match_expression(query: str) -> str | None:
    """An FTS5 expression that asks for any word of a query; None if it has no words.

    Any string will do: nothing in it is taken for an operator.
    """
    plain = unicodedata.normalize("NFC", query.encode("utf-8", "replace").decode())
    words = dict.fromkeys(run.lower() for run in _RUNS.findall(plain))
    telling = [word for word in words if word not in STOP_WORDS] or list(words)
    return " OR ".join(islice(dict.fromkeys(_phrases(telling)), MAX_WORDS)) or None


def search(connection: Connection, query: str, k: int, among: Select[tuple[int]] | None) -> Ranked:
    """Find the k chunks that fit a query's words best by BM25, best first, ties by id.

    Args:
        connection: A transaction.
        query: Any string.
        k: How many at most.
        among: The only ids to consider; None considers all.
    """
    expression = match_expression(query)
    if expression is None:
        return Ranked(ids=np.empty(0, dtype=np.int64), scores=np.empty(0, dtype=np.float32))
    allowed = select(chunks.c.id) if among is None else among
    bm25 = func.bm25(chunk_terms_name, type_=Float).label("bm25")
    # The plus sign keeps SQLite from asking FTS5 once for each allowed id.
    rowid = literal_column("+chunk_terms.rowid", Integer)
    statement = (
        select(literal_column("chunk_terms.rowid", Integer).label("id"), bm25)
        .select_from(text("chunk_terms"))
        .where(chunk_terms_name.op("MATCH")(expression), rowid.in_(allowed))
        .order_by(bm25, literal_column("id"))
        .limit(k)
    )
    rows = connection.execute(statement).all()
    return Ranked(
        ids=np.array([row.id for row in rows], dtype=np.int64),
        scores=np.array([-row.bm25 for row in rows], dtype=np.float32),
    )


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


def _phrases(words: list[str]) -> Iterator[str]:
    for word in words:
        if _SIGN.match(word) and len(word) > 1:
            for first, second in zip(word, word[1:], strict=False):
                yield f'"{first} {second}"'
        else:
            yield f'"{word}"'
