"""Takes the words of rows out of the lexical index, so that no trace of them is left in it.

FTS5 notes that a row was deleted beside what it has of it, which goes when the whole index is
merged. In a large index that takes long. What it has of one row is on some dozens of its pages, and
here it is taken out of these. Where a page is unlike what is expected, or more than the page would
have to change, nothing is: `agentmem_storage.sql.lexical.terms` then deletes as FTS5 does.

Of a segment, the table of its pages, and how its pages are told from those of others, see
`agentmem_storage.sql.lexical.lexicon_pages`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from agentmem_storage import words
from agentmem_storage.sql.lexical import indexed_texts, lexicon
from agentmem_storage.sql.lexical.leaf import (
    Leaf,
    UnusualError,
    first_continued,
    number,
    packed,
    without,
)
from agentmem_storage.sql.lexical.lexicon import FORMAT, varints
from agentmem_storage.sql.lexical.lexicon_pages import SEGMENT_BITS, STRUCTURE, segments
from agentmem_storage.sql.lexical.tokens import TABLE

# In an index of fewer rows for each that goes, merging it takes no longer.
ROWS_FOR_EACH = 10_000
_COUNTS = 1
# Of the one index that there is; others would be of prefixes.
_MAIN = b"0"
# What stands in a segment that has nothing else: a word without letters, of a row that was deleted.
_NOTHING = _MAIN, packed(1) + packed(1)


def erase(connection: Connection, texts: Mapping[int, str]) -> dict[int, str]:
    """Take rows out of a large index; each text must be the one that was indexed.

    FTS5 must not have written to the index in this transaction, because it keeps counts.

    Args:
        connection: A write transaction.
        texts: Texts by chunk id.

    Returns:
        Those of them that have to be deleted otherwise; all if the index is not large, or not
        FTS5's.
    """
    left = dict(texts)
    if connection.dialect.name != "sqlite":
        return left
    try:
        rows = _counts(connection)[0]
        if len(texts) * ROWS_FOR_EACH > rows:
            return left
        for id, places in _words(texts).items():
            index = _Index(connection)
            index.remove(id, dict.fromkeys(places))
            index.write(id, len(places))
            indexed_texts.drop(connection, [id])
            del left[id]
    except (UnusualError, IndexError, OverflowError, StopIteration, TypeError):
        # Of a damaged index, `check` tells.
        pass
    except OperationalError as error:
        if not lexicon.is_read_only(error):
            raise
    return left


def _words(texts: Mapping[int, str]) -> dict[int, list[bytes]]:
    """The words of each text, as the index has them, each as often as it stands there."""
    found: dict[int, list[bytes]] = {id: [] for id in texts}
    with closing(sqlite3.connect(":memory:")) as scratch:
        scratch.execute(TABLE)
        rows = [(id, words.index_text(text)) for id, text in texts.items()]
        scratch.executemany("INSERT INTO chunk_terms (rowid, terms) VALUES (?, ?)", rows)
        scratch.execute("CREATE VIRTUAL TABLE temp.v USING fts5vocab(main, chunk_terms, instance)")
        for id, word in scratch.execute("SELECT doc, term FROM temp.v"):
            found[id].append(_MAIN + word.encode())
    return found


def _counts(connection: Connection) -> list[int]:
    """Numbers of rows and of words in the index.

    Raises:
        UnusualError: It has another format.
    """
    config = connection.exec_driver_sql("SELECT k, v FROM chunk_terms_config").all()
    if FORMAT not in [tuple(row) for row in config]:
        raise UnusualError("another version of FTS5 has written it")
    counts = list(varints(_block(connection, _COUNTS)))
    if len(counts) != 2:
        raise UnusualError("it does not say how many rows it has")
    return counts


def _block(connection: Connection, id: int) -> bytes:
    row = connection.exec_driver_sql("SELECT block FROM chunk_terms_data WHERE id = ?", (id,))
    block = row.scalar()
    if not isinstance(block, bytes):
        raise UnusualError("a page is missing")
    return block


class _Index:
    """The pages of an index that one row is taken out of.

    Args:
        connection: A write transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        found = list(segments(_block(connection, STRUCTURE)))
        for segment, first, _ in found:
            _forget_merged_pages(connection, segment, first)
        self._segments = [_Segment(connection, *one) for one in found]

    def remove(self, rowid: int, found: Iterable[bytes]) -> None:
        """Take a row's postings out of the pages, which are not written yet.

        Raises:
            UnusualError: Pages would have to change in another way than expected.
        """
        tried = list(self._segments)
        for word in found:
            home = next((one for one in tried if one.remove(word, rowid)), None)
            if home is None:
                raise UnusualError("a word of the row is not in the index")
            # Most likely it has the others, too. While segments are merged, some are in another.
            tried.sort(key=lambda one: one is not home)

    def write(self, rowid: int, length: int) -> None:
        """Write the pages that have changed, and the counts without the row.

        Args:
            rowid: The row.
            length: How many words were taken out, each as often as it stood there.

        Raises:
            UnusualError: A page may not become what it would; or the row had other words, too.
        """
        changes = [one for segment in self._segments for one in segment.changes()]
        rows, total = _counts(self._connection)
        query = "SELECT sz FROM chunk_terms_docsize WHERE id = ?"
        size = self._connection.exec_driver_sql(query, (rowid,)).scalar()
        if not isinstance(size, bytes):
            raise UnusualError("the length of the row is not known")
        if number(size, 0)[0] != length:
            raise UnusualError("the row had other words, too")
        counts = packed(rows - 1) + packed(total - length)
        changes.append(("UPDATE chunk_terms_data SET block = ? WHERE id = ?", (counts, _COUNTS)))
        changes.append(("DELETE FROM chunk_terms_docsize WHERE id = ?", (rowid,)))
        for statement, values in changes:
            self._connection.exec_driver_sql(statement, values)


def _forget_merged_pages(connection: Connection, segment: int, first: int) -> None:
    """Delete what leads to pages before the first, which FTS5 leaves when it merges them.

    It has words, or their beginnings, that the other pages need not have. What leads to the first
    page has the word that it began with.
    """
    if first > 1:
        gone = "DELETE FROM chunk_terms_idx WHERE segid = ? AND pgno >> 1 < ?"
        connection.exec_driver_sql(gone, (segment, first))
        route = "UPDATE chunk_terms_idx SET term = x'' WHERE segid = ? AND pgno >> 1 = ?"
        connection.exec_driver_sql(route, (segment, first))


class _Segment:
    """A part of the index: leaves that are numbered in the order of the words on them."""

    def __init__(self, connection: Connection, id: int, first: int, last: int) -> None:
        self._connection = connection
        self._id, self._first, self._last = id, first, last
        self._leaves: dict[int, Leaf] = {}
        # First words of the leaves that change, as they were.
        self._before: dict[int, bytes | None] = {}

    def remove(self, word: bytes, rowid: int) -> bool:
        """Take a row's posting of a word out; whether there is one.

        Raises:
            UnusualError: More would have to change than one page.
        """
        page, indexed = self._find(word)
        leaf = self._leaf(page)
        at = next((n for n, (one, _) in enumerate(leaf.words) if one == word), None)
        if at is None:
            return False
        is_last = at == len(leaf.words) - 1
        left = without(leaf.words[at][1], rowid)
        if left is None:
            return is_last and self._remove_further(word, page, rowid, indexed=indexed)
        if not left and is_last and self._continues(page):
            raise UnusualError("a word would begin on the next page")
        self._keep(page)
        leaf.words[at : at + 1] = [(word, left)] if left else []
        return True

    def _remove_further(self, word: bytes, page: int, rowid: int, *, indexed: bool) -> bool:
        """Take a posting out of a page behind that on which its word begins."""
        further = self._page_of(word, page, rowid)
        if further is None:
            return False
        leaf = self._leaf(further)
        left = without(leaf.continued, rowid)
        if left is None:
            return False
        if indexed and number(leaf.continued, 0)[0] == rowid:
            raise UnusualError("an index of the postings has to be changed")
        if not left and not leaf.words:
            raise UnusualError("a page would be empty")
        self._keep(further)
        leaf.continued = left
        return True

    def changes(self) -> list[tuple[str, tuple[object, ...]]]:
        """What has to be written.

        Raises:
            UnusualError: A page would be empty, and others of the segment are not.
        """
        made: list[tuple[str, tuple[object, ...]]] = []
        for page, before in self._before.items():
            leaf = self._leaves[page]
            if leaf.is_empty:
                if self._first != self._last:
                    raise UnusualError("a page would be empty")
                leaf.words.append(_NOTHING)
            block, id = leaf.pack(), self._row(page)
            made.append(("UPDATE chunk_terms_data SET block = ? WHERE id = ?", (block, id)))
            now = leaf.words[0][0] if leaf.words else None
            if now != before:
                made += self._route(page, now)
        return made

    def _route(self, page: int, now: bytes | None) -> list[tuple[str, tuple[object, ...]]]:
        """How a page is found whose first word is another one."""
        query = "SELECT term FROM chunk_terms_idx WHERE segid = ? AND pgno >> 1 = ?"
        rows = self._connection.exec_driver_sql(query, (self._id, page)).all()
        if len(rows) != 1:
            raise UnusualError("a page is not found in one way")
        if page == self._first:
            # It is found as what comes before all others.
            if rows[0][0] != b"" or now is None:
                raise UnusualError("the first page is not found as such")
            return []
        key = (self._id, rows[0][0])
        if now is None:
            return [("DELETE FROM chunk_terms_idx WHERE segid = ? AND term = ?", key)]
        update = "UPDATE chunk_terms_idx SET term = ? WHERE segid = ? AND term = ?"
        return [(update, (now, *key))]

    def _find(self, word: bytes) -> tuple[int, bool]:
        """The page on which a word begins, if it does, and whether its postings have an index."""
        query = (
            "SELECT pgno FROM chunk_terms_idx WHERE segid = ? AND term <= ? "
            "ORDER BY term DESC LIMIT 1"
        )
        found = self._connection.exec_driver_sql(query, (self._id, word)).scalar()
        if found is None or found >> 1 < self._first:
            return self._first, False
        return found >> 1, bool(found & 1)

    def _page_of(self, word: bytes, page: int, rowid: int) -> int | None:
        """The page that has a row's posting of a word that began on a page before."""
        query = (
            "SELECT pgno FROM chunk_terms_idx WHERE segid = ? AND term > ? ORDER BY term LIMIT 1"
        )
        found = self._connection.exec_driver_sql(query, (self._id, word)).scalar()
        low, high = page + 1, self._last if found is None else found >> 1
        best = None
        while low <= high:
            middle = (low + high) // 2
            first = self._first_continued(middle)
            if first is None and middle < high:
                raise UnusualError("a posting is longer than a page")
            if first is None or first > rowid:
                high = middle - 1
            else:
                best, low = middle, middle + 1
        return best

    def _continues(self, page: int) -> bool:
        """Whether the last word of a page has postings on the next one."""
        if page >= self._last:
            return False
        following = self._leaf(page + 1)
        return bool(following.tail or following.continued)

    def _first_continued(self, page: int) -> int | None:
        if page in self._leaves:
            continued = self._leaves[page].continued
            return number(continued, 0)[0] if continued else None
        return first_continued(_block(self._connection, self._row(page)))

    def _leaf(self, page: int) -> Leaf:
        if page not in self._leaves:
            self._leaves[page] = Leaf.unpack(_block(self._connection, self._row(page)))
        return self._leaves[page]

    def _keep(self, page: int) -> None:
        """Note that a page is about to change."""
        leaf = self._leaves[page]
        self._before.setdefault(page, leaf.words[0][0] if leaf.words else None)

    def _row(self, page: int) -> int:
        return (self._id << SEGMENT_BITS) + page
