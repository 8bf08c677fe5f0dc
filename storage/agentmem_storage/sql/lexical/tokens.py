"""What FTS5 makes of words: stemmed, without the diacritics of Latin letters, each at its place.

FTS5 has no function for it, so texts are indexed in memory, and read back from the index.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

# The table of every store in SQLite, see `agentmem_storage.sql.connection.migrations`.
TABLE: Final = (
    "CREATE VIRTUAL TABLE chunk_terms USING fts5 (terms, content='', tokenize="
    "\"porter unicode61 remove_diacritics 2 categories 'L* M* N* P* S* C*'\")"
)
INSTANCES: Final = "SELECT doc, term, offset FROM temp.instances"
_VOCABULARY = "CREATE VIRTUAL TABLE temp.instances USING fts5vocab(main, chunk_terms, instance)"


@contextmanager
def indexed(texts: Iterable[tuple[int, str]]) -> Iterator[sqlite3.Connection]:
    """An index in memory of texts, by their numbers, and `INSTANCES` of words in it.

    Args:
        texts: Numbers and texts, in which words are separated by spaces.
    """
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(TABLE)
        connection.executemany("INSERT INTO chunk_terms (rowid, terms) VALUES (?, ?)", texts)
        connection.execute(_VOCABULARY)
        yield connection


def tokens_of(texts: Iterable[str]) -> list[list[str]]:
    """The words of each text, as FTS5 stems them, in order."""
    listed = list(texts)
    found: list[list[str]] = [[] for _ in listed]
    with indexed(enumerate(listed, start=1)) as connection:
        rows: Iterable[Any] = connection.execute(f"{INSTANCES} ORDER BY doc, offset")
        for number, term, _ in rows:
            found[number - 1].append(term)
    return found
