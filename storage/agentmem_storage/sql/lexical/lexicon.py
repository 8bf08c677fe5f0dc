"""Compares the words in the lexical index with those of the texts that were indexed.

FTS5's own check finds an index that contradicts itself, and not one that has other words than the
texts; in PostgreSQL there is none. So the texts are indexed again, in memory and a few at a time,
and both sides are reduced to one number for each chunk.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from agentmem_storage import words
from agentmem_storage.sql.lexical import indexed_texts, tsvectors
from agentmem_storage.sql.lexical.tokens import INSTANCES, TABLE, indexed, tokens_of

FORMAT = ("version", 4)


class IndexedWords:
    """What the lexical index had of each chunk when this was read."""

    def __init__(self, connection: Connection) -> None:
        self._sizes: dict[Any, Any]
        if connection.dialect.name == "postgresql":
            self._sizes = dict(tsvectors.sizes(connection))
            self._found = _numbers(tsvectors.instances(connection))
            self._index = _index_vectors
            return
        self._index = _index
        rows = connection.exec_driver_sql("SELECT id, sz FROM chunk_terms_docsize").all()
        self._sizes = {row[0]: row[1] for row in rows}
        connection.exec_driver_sql(
            "CREATE VIRTUAL TABLE temp.instances USING fts5vocab(main, chunk_terms, instance)"
        )
        try:
            self._found = _numbers(connection.exec_driver_sql(INSTANCES))
        finally:
            connection.exec_driver_sql("DROP TABLE temp.instances")

    def differing(self, texts: Mapping[int, str]) -> list[int]:
        """Ids of chunks of which it had other words than those of the text to be indexed.

        Args:
            texts: By chunk id, that text. Of those that it did not have at all, nothing is said.
        """
        given = {id: text for id, text in texts.items() if id in self._sizes}
        expected, sizes = self._index(given)
        return [
            id
            for id in given
            if self._found.get(id, 0) != expected.get(id, 0) or self._sizes[id] != sizes[id]
        ]

    def strays(self) -> set[Any]:
        """Ids that have words in it, and are not among those that it says it has."""
        return set(self._found).difference(self._sizes)


def counts_hold(connection: Connection) -> bool:
    """Whether the index's totals, which scores depend on, are those of its rows."""
    if connection.dialect.name == "postgresql":
        return tsvectors.totals_hold(connection)
    sizes = [row[0] for row in connection.exec_driver_sql("SELECT sz FROM chunk_terms_docsize")]
    if not sizes:
        return True
    block = connection.exec_driver_sql("SELECT block FROM chunk_terms_data WHERE id = 1").scalar()
    if not isinstance(block, bytes) or not all(isinstance(one, bytes) and one for one in sizes):
        return False
    each = [list(varints(one)) for one in sizes]
    config = connection.exec_driver_sql("SELECT k, v FROM chunk_terms_config").all()
    return (
        all(len(one) == 1 for one in each)
        and list(varints(block)) == [len(sizes), sum(one[0] for one in each)]
        and [tuple(row) for row in config] == [FORMAT]
    )


def reset(connection: Connection) -> None:
    """Empty the index by way of its tables, which works where it cannot be opened any more.

    Connections that have read it must be closed afterwards, because they keep parts of it.
    """
    if connection.dialect.name == "postgresql":
        tsvectors.reset(connection)
        return
    fresh = sqlite3.connect(":memory:")
    try:
        fresh.execute(TABLE)
        for table in ("data", "idx", "docsize", "config"):
            rows = fresh.execute(f"SELECT * FROM chunk_terms_{table}").fetchall()
            try:
                connection.exec_driver_sql(f"DELETE FROM chunk_terms_{table}")
            except OperationalError as error:
                if not is_read_only(error):
                    raise
                # It has to be possible to open it, then.
                delete = "INSERT INTO chunk_terms (chunk_terms) VALUES ('delete-all')"
                connection.exec_driver_sql(delete)
                break
            for row in rows:
                placeholders = ", ".join("?" * len(row))
                connection.exec_driver_sql(
                    f"INSERT INTO chunk_terms_{table} VALUES ({placeholders})", tuple(row)
                )
    finally:
        fresh.close()
    indexed_texts.clear(connection)


def is_read_only(error: OperationalError) -> bool:
    """Whether the tables of the index may be changed by FTS5 only.

    So it is where SQLite was built to be "defensive", as on macOS.
    """
    return "may not be modified" in str(error.orig)


def _index(texts: Mapping[int, str]) -> tuple[dict[Any, int], dict[int, Any]]:
    """The number of each chunk, and what FTS5 keeps of its length."""
    with indexed((id, words.index_text(text)) for id, text in texts.items()) as connection:
        found = _numbers(connection.execute(INSTANCES))
        return found, dict(connection.execute("SELECT id, sz FROM chunk_terms_docsize"))


def _index_vectors(texts: Mapping[int, str]) -> tuple[dict[Any, int], dict[int, Any]]:
    """The number of each chunk and its length, as PostgreSQL has them."""
    made = tokens_of(map(words.index_text, texts.values()))
    tokens = dict(zip(texts, made, strict=True))
    found = _numbers(
        (id, lexeme, place)
        for id, own in tokens.items()
        for lexeme, places in tsvectors.kept(own).items()
        for place in places
    )
    return found, {id: len(own) for id, own in tokens.items()}


def _numbers(instances: Iterable[Sequence[Any]]) -> dict[Any, int]:
    """For each chunk, one number of its words and their offsets, in any order."""
    found: dict[Any, int] = defaultdict(int)
    for id, term, offset in instances:
        encoded = term if isinstance(term, bytes) else term.encode()
        # Cubed, because sums of the numbers themselves would be equal for many changes of two.
        found[id] += (crc32(encoded) + 1) * (offset + 1) ** 3
    return found


def varints(block: bytes) -> Iterator[int]:
    """The numbers in a block, as FTS5 encodes them."""
    value = length = 0
    for byte in block:
        length += 1
        if length == 9:
            value = value << 8 | byte
        else:
            value = value << 7 | byte & 0x7F
        if length == 9 or byte < 0x80:
            yield value
            value = length = 0
