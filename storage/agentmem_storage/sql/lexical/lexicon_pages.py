"""Checks how FTS5 finds the pages of its index, which its own check does not do completely.

``chunk_terms_idx`` has a row for each leaf page on which words begin: the shortest beginning of the
first of them by which it is told from what stands before. Without such a row, or with another, the
words of a page are not found, though they are there. See "FTS5 Data Structures" in SQLite's
documentation of FTS5.

While a segment is being merged into another, FTS5 deletes its first pages, but keeps their rows: it
takes the first page that is left for whatever they lead to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from sqlalchemy import Connection

from agentmem_storage.sql.lexical.leaf import number
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
    routes: dict[int, dict[int, bytes]] = defaultdict(dict)
    try:
        for segment, term, page in rows:
            if type(segment) is not int or type(page) is not int or type(term) is not bytes:
                return False
            routes[segment][page >> 1] = term
        found = list(segments(pages[STRUCTURE]))
        return (
            routes.keys() <= {segment for segment, _, _ in found}
            and sum(map(len, routes.values())) == len(rows)
            and all(_holds(routes[one[0]], pages, *one) for one in found)
        )
    except (IndexError, KeyError, TypeError, StopIteration):
        return False


def _holds(
    routes: dict[int, bytes], pages: dict[int, bytes], segment: int, first: int, last: int
) -> bool:
    """Whether the rows of a segment, by page, are those of its pages."""
    merged = [routes.pop(page) for page in sorted(routes) if page < first]
    # The last word before a page, or what leads to a page that is not there any more.
    before = merged[-1] if merged else None
    if merged != sorted(set(merged)):
        return False
    for page in range(first, last + 1):
        words = _words(pages[(segment << SEGMENT_BITS) + page])
        if not words:
            continue
        route = routes.pop(page)
        if page == first == 1:
            fits = route == b""
        elif page == first:
            # Its first words may be merged already.
            fits = route <= words[0] and (before is None or route > before)
        else:
            fits = words[0].startswith(route) and before is not None and route > before
        if not fits:
            return False
        before = words[-1]
    return not routes


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


def _words(page: bytes) -> list[bytes]:
    """The words that begin on a page."""
    found: list[bytes] = []
    size, at, word = int.from_bytes(page[2:4], "big"), 0, b""
    for distance in varints(page[size:]):
        at += distance
        kept, start = number(page, at) if found else (0, at)
        length, start = number(page, start)
        word = word[:kept] + page[start : start + length]
        found.append(word)
    return found
