"""How many rows of the lexical index have a word, kept from one search to the next.

FTS5 has no such numbers: it goes through all rows that have the word, which for a common one takes
as long in a large store as to search it. But rows are only added behind all others, or deleted, and
the change log tells which. So what was counted is counted on from where that ended, and anew once a
row was deleted. The numbers are those of a fresh count, whatever was asked before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from sqlalchemy import Connection, func, select

from agentmem_storage.sql.lexical.phrases import Count, Counted
from agentmem_storage.sql.logs import changes
from agentmem_storage.sql.logs.changes import Mark
from agentmem_storage.sql.schema.tables import chunk_terms_sizes

# Rarer words are counted as fast as they are looked up, and there is no end of them.
_LEAST_ROWS = 1_000
_MOST_WORDS = 10_000


@dataclass(frozen=True, slots=True)
class _Seen:
    """A state of the store, and what was counted in it and in those before it.

    Attributes:
        mark: The last change.
        rows: How many rows the index has.
        highest: The highest of their ids.
        words: By word, what is known of it; states that only add rows have it in common.
    """

    mark: Mark
    rows: int
    highest: int
    words: dict[str, Counted] = field(default_factory=dict)


class WordCounts:
    """What is known of the words of one open store, in SQLite; for any number of threads.

    Without a lock: what another thread notes at the same time is right as well.
    """

    def __init__(self) -> None:
        self._seen: _Seen | None = None

    def at(self, connection: Connection, newest: Mark, rows: int) -> Noted | None:
        """What is known in a state of the store; None if nothing can be.

        Args:
            connection: A transaction that sees this state.
            newest: The last change of it.
            rows: How many rows the index has: those of all chunks, and no others.
        """
        seen = self._seen
        if connection.dialect.name != "sqlite" or (seen and newest.seq < seen.mark.seq):
            return None
        if seen is None or newest != seen.mark or rows != seen.rows:
            seen = (seen and _grown(connection, seen, newest, rows)) or _Seen(
                newest, rows, connection.scalar(select(func.max(chunk_terms_sizes.c.id))) or 0
            )
            self._seen = seen
        return Noted(seen.words, seen.highest)


class Noted:
    """What is known in one state of a store."""

    def __init__(self, words: dict[str, Counted], highest: int) -> None:
        self._words = words
        self._highest = highest
        self.known: Mapping[str, Counted] = MappingProxyType(words)

    def note(self, counts: Iterable[Count]) -> None:
        """Keep what was counted in this state."""
        for one in counts:
            if one.everywhere >= _LEAST_ROWS:
                if len(self._words) >= _MOST_WORDS:
                    self._words.clear()
                self._words[one.phrase] = Counted(one.everywhere, self._highest)


def _grown(connection: Connection, seen: _Seen, newest: Mark, rows: int) -> _Seen | None:
    """A later state that only has more rows, behind all others; None if it is another."""
    if not changes.reaches(connection, seen.mark):
        return None
    added, removed = changes.changed(connection, seen.mark)
    if removed or len(added) != rows - seen.rows or (added and added[0] <= seen.highest):
        return None
    highest = added[-1] if added else seen.highest
    return replace(seen, mark=newest, rows=rows, highest=highest)
