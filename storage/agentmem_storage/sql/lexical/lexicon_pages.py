"""Checks how FTS5 finds the pages of its index, which its own check does not do completely.

``chunk_terms_idx`` has a row for each leaf page on which words begin: the shortest beginning of the
first of them by which it is told from what stands before. Without such a row, or with another, the
words of a page are not found, though they are there. See "FTS5 Data Structures" in SQLite's
documentation of FTS5.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from agentmem_storage.sql.lexical.lexicon import varints

STRUCTURE = 10
# The id of a page is that of its segment, times 2 to the power of this, and its own number.
SEGMENT_BITS = 37


def routes_hold(connection: Connection) -> bool:
    """Whether every leaf page with words can be found, and nothing else is."""
    if connection.dialect.name != "sqlite":
        return True
    rows = connection.exec_driver_sql("SELECT segid, term, pgno FROM chunk_terms_idx").all()
    pages = dict(
        tuple(row)
        for row in connection.exec_driver_sql("SELECT id, block FROM chunk_terms_data").all()
    )
    try:
        expected = _routes(pages)
        return len(rows) == len(expected) and all(_fits(row, expected) for row in rows)
    except (IndexError, KeyError, TypeError, StopIteration):
        return False


def _fits(row: Any, expected: dict[tuple[int, int], bytes | None]) -> bool:
    segment, term, page = row
    if type(segment) is not int or type(page) is not int or type(term) is not bytes:
        return False
    first = expected[segment, page >> 1]
    return term == b"" if first is None else len(term) > 0 and first.startswith(term)


def _routes(pages: dict[int, bytes]) -> dict[tuple[int, int], bytes | None]:
    """By segment and page, the first word of each page on which some begin; None of the first."""
    found: dict[tuple[int, int], bytes | None] = {}
    for segment, first, last in segments(pages[STRUCTURE]):
        for page in range(first, last + 1):
            word = _first_word(pages[(segment << SEGMENT_BITS) + page])
            if word is not None:
                found[segment, page] = None if page == first else word
    return found


def segments(structure: bytes) -> Iterator[tuple[int, int, int]]:
    """Number, first and last page of each segment."""
    numbers = varints(structure[4:])
    try:
        levels, segments, _ = next(numbers), next(numbers), next(numbers)
        for _ in range(levels):
            _, count = next(numbers), next(numbers)
            for _ in range(count):
                yield next(numbers), next(numbers), next(numbers)
                segments -= 1
    except StopIteration:  # which a generator must not raise
        raise IndexError("numbers are missing") from None
    if segments:
        raise IndexError("segments are missing")


def _first_word(page: bytes) -> bytes | None:
    """The first word that begins on a page; None if none does."""
    size = int.from_bytes(page[2:4], "big")
    if size >= len(page):
        return None
    start = next(varints(page[size:]))
    numbers = page[start:]
    length = next(varints(numbers))
    width = 1 if length < 0x80 else 2
    return numbers[width : width + length]
