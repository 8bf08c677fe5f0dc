"""Lexical search: an index of the words of each chunk, without its text.

`agentmem_storage.words` splits texts and queries into words; the index stems them and drops the
diacritics of Latin letters, as SQLite's FTS5 does. It is an FTS5 table in SQLite, and a column of
``tsvector`` in PostgreSQL; scores are the same in both.

``score = sqrt(bm25 * phrases) * share``, with the sum of BM25 over the query's phrases in the
chunk, the number of those phrases, and their share of the weight of all the query's phrases, each
weighed by how rare it is: BM25 alone would rank a short chunk with one rare word of the query above
a longer one with three. A word that only may be a name adds `POSSIBLE_SHARE` of its BM25 and of its
weight, and is not counted. Another writing of a number weighs, and counts, as do the phrases that
it stands for. The form was chosen on notes, documents and dialogues that no network was trained on,
see benchmarks/LOG.md.

How rare a word is depends on the scope that is searched: within one user's memories the user's name
carries no information, however rare it is in the whole store, and what others write must not change
a ranking. So the inverse document frequency of a phrase is that of the scope,
``log(1 + (N - n + 0.5) / (n + 0.5))`` for n of N chunks.

If a query's words occur in more than `MAX_LEADING` of the chunks searched, only the rarest of them
select candidates, and the others only contribute to the scores of these. Scoring all of the many
thousand chunks that contain a common word would take most of the time of a search, for chunks at
the end of the ranking. If even the rarest word is in more, the candidates are those of its chunks
that have most of the weight of the others; of equals, the newest.

How often a word occurs in a candidate does not count if it follows and is in more than
`MAX_COUNTED` chunks of the scope: reading that of many thousand chunks, and counting them again,
would take most of the time. It is taken to occur there as often as the others do, so it adds its
share of their BM25.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol

import numpy as np
from sqlalchemy import Connection, Row, select

from agentmem_storage.records import Ranked
from agentmem_storage.sql.lexical import fts5, tsvectors
from agentmem_storage.sql.lexical.phrases import Among, Count, Counted, Weighted
from agentmem_storage.sql.schema.tables import chunk_terms_sizes

# A longer query is a text. Its rarest phrases are searched, wherever they stand in it.
MAX_PHRASES = 64
# The most chunks, in total, that the rarest words of a query may select as candidates.
MAX_LEADING = 1_000
# In how many chunks of the scope a word may be for its occurrences to count where it follows.
MAX_COUNTED = 5_000
# The part of its weight that a phrase has which only may be meant: it decides between equals.
POSSIBLE_SHARE = 0.4


class Index(Protocol):
    """The lexical index of one kind of database."""

    def count(
        self,
        connection: Connection,
        phrases: Sequence[str],
        *,
        scope: Among | None,
        allowed: Among | None,
        known: Mapping[str, Counted],
    ) -> list[Count]:
        """See `count`."""

    def best(
        self,
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
        """The ``id``, square of the ``score`` and ``share`` of the best chunks, best first.

        Args:
            connection: A transaction.
            leading: The phrases of which a chunk must contain one.
            following: Those that count, too, in such a chunk.
            common: Those of which only counts whether it contains them.
            k: The most chunks.
            rows: Number of rows of the index.
            shares: By phrase, its share in the weight of the query.
            counted: How often the phrases are counted that are not counted once.
            allowed: The chunks to consider; None if all are allowed.
        """

    def narrow(
        self,
        connection: Connection,
        rarest: str,
        shares: Mapping[str, float],
        most: int,
        *,
        allowed: Among | None,
    ) -> list[int]:
        """Chunks that contain a phrase and others, those with most of the weight of these.

        Args:
            connection: A transaction.
            rarest: The phrase.
            shares: By other phrase, its share in the weight of the query.
            most: The most chunks; of equals the newest.
            allowed: As in `best`.
        """

    def containing(
        self, connection: Connection, phrases: Sequence[str], ids: Sequence[int]
    ) -> list[tuple[int, str]]:
        """Each of the given chunks with each phrase that it contains."""

    def insert(self, connection: Connection, texts: Iterable[tuple[int, str]]) -> None:
        """See `insert`."""

    def delete(self, connection: Connection, texts: Mapping[int, str]) -> None:
        """See `delete`."""

    def clear(self, connection: Connection) -> None:
        """See `clear`."""

    def optimize(self, connection: Connection) -> None:
        """See `optimize`."""

    def verify(self, connection: Connection) -> None:
        """See `verify`."""


_INDEXES: Final[dict[str, Index]] = {"sqlite": fts5, "postgresql": tsvectors}


def index_of(connection: Connection) -> Index:
    """The lexical index of the database that a connection is to."""
    return _INDEXES[connection.dialect.name]


def count(
    connection: Connection,
    phrases: Sequence[str],
    *,
    scope: Among | None,
    allowed: Among | None,
    known: Mapping[str, Counted] = MappingProxyType({}),
) -> list[Count]:
    """Count the chunks that contain each phrase, in the order of the phrases.

    Args:
        connection: A transaction.
        phrases: As `agentmem_storage.words` gives them.
        scope: The chunks of the scope; None if it is the whole index.
        allowed: The chunks to consider, likewise; they are of the scope.
        known: Of some phrases, how many rows of the index contain them up to an id.
    """
    if not phrases:
        return []
    index = index_of(connection)
    return index.count(connection, phrases, scope=scope, allowed=allowed, known=known)


def search(
    connection: Connection,
    counts: Sequence[Count],
    k: int,
    *,
    rows: int,
    held: int,
    allowed: Among | None,
    possible: Collection[str] = (),
    variants: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Ranked:
    """Find the k chunks that match a query's phrases best, best first, ties by id.

    Args:
        connection: A transaction.
        counts: Of the phrases, from `count`.
        k: Maximum number of results.
        rows: Number of rows of the index.
        held: Number of chunks in the scope.
        allowed: The chunks to consider; None if all are allowed.
        possible: Those of the phrases that only may be meant.
        variants: Those that are other writings, with the phrases that each stands for.
    """
    weights = _weights(counts, held, possible, variants)
    leading, following, common = _parts(counts, weights, possible)
    if not leading:
        return Ranked(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
    index, shares = index_of(connection), _shares(weights, possible, variants)
    if leading[0].allowed > MAX_COUNTED and (others := [*following, *common]):
        of_others = {one.phrase: shares[one.phrase] for one in others}
        most = max(k, MAX_LEADING)
        narrowed = index.narrow(connection, leading[0].phrase, of_others, most, allowed=allowed)
        # What has the rarest word alone is only found if that is needed.
        if len(narrowed) >= k:
            allowed = Among.of(np.sort(np.array(narrowed, dtype=np.int64)))
    best = index.best(
        connection,
        leading,
        following,
        common,
        k,
        rows=rows,
        shares=shares,
        counted=dict.fromkeys(possible, 0) | {one: len(those) for one, those in variants.items()},
        allowed=allowed,
    )
    return Ranked(
        ids=np.array([one.id for one in best], dtype=np.int64),
        scores=np.sqrt([one.score for one in best], dtype=np.float32),
        coverage=min(1.0, best[0].share) if best else 0.0,
    )


def insert(connection: Connection, texts: Iterable[tuple[int, str]]) -> None:
    """Add rows: chunk ids and the text to index for each."""
    index_of(connection).insert(connection, texts)


def delete(connection: Connection, texts: Mapping[int, str]) -> None:
    """Delete rows; each text must be the one that was indexed."""
    index_of(connection).delete(connection, texts)


def clear(connection: Connection) -> None:
    """Delete all rows."""
    index_of(connection).clear(connection)


def optimize(connection: Connection) -> None:
    """Remove all traces of deleted rows from the index."""
    index_of(connection).optimize(connection)


def verify(connection: Connection) -> None:
    """Have the index checked by the database itself, in a write transaction.

    Raises:
        StoreError: It is damaged; raised by the transaction.
    """
    index_of(connection).verify(connection)


def known_ids(connection: Connection) -> Iterator[int]:
    """Ids of all rows, ascending."""
    yield from connection.scalars(select(chunk_terms_sizes.c.id).order_by(chunk_terms_sizes.c.id))


def _weights(
    counts: Sequence[Count],
    held: int,
    possible: Collection[str],
    variants: Mapping[str, Sequence[str]],
) -> dict[str, float]:
    """What each phrase weighs.

    Args:
        counts: Of the phrases.
        held: Number of chunks in the scope.
        possible: Those of the phrases that only may be meant.
        variants: Those that are other writings, with the phrases that each stands for.
    """
    rarities = {
        one.phrase: math.log1p((held - one.scope + 0.5) / (one.scope + 0.5)) for one in counts
    }
    weights = {
        phrase: rarity * (POSSIBLE_SHARE if phrase in possible else 1.0)
        for phrase, rarity in rarities.items()
    }
    # The phrases as written may be in no chunk, and so seem rarer than they are.
    return weights | {
        variant: sum(min(weights[phrase], weights[variant]) for phrase in phrases)
        for variant, phrases in variants.items()
    }


def _parts(
    counts: Sequence[Count], weights: Mapping[str, float], possible: Collection[str]
) -> tuple[list[Weighted], list[Weighted], list[Weighted]]:
    """What each phrase does.

    Args:
        counts: Of the phrases.
        weights: From `_weights`.
        possible: Those of the phrases that only may be meant.

    Returns:
        Of the `MAX_PHRASES` rarest, those that lead, as many as `MAX_LEADING` permits but at least
        one; the others; and those of the others that are in more than `MAX_COUNTED` chunks.
    """
    found = [one for one in counts if one.allowed]
    # Among equally rare ones the longer; never the earlier, for a question may stand anywhere.
    found.sort(key=lambda one: (one.phrase in possible, one.allowed, -len(one.phrase), one.phrase))
    leading: list[Weighted] = []
    following: list[Weighted] = []
    common: list[Weighted] = []
    led = 0
    for phrase, everywhere, n, allowed in found[:MAX_PHRASES]:
        led += allowed
        others = following if n <= MAX_COUNTED else common
        part = leading if led <= MAX_LEADING or not leading else others
        part.append(Weighted(phrase, weights[phrase], everywhere, allowed))
    return leading, following, common


def _shares(
    weights: Mapping[str, float], possible: Collection[str], variants: Collection[str]
) -> dict[str, float]:
    """The share of each phrase in the weight of a query; those certainly meant add up to 1."""
    total = sum(
        weight
        for phrase, weight in weights.items()
        if phrase not in possible and phrase not in variants
    )
    total = total or sum(weights.values()) / POSSIBLE_SHARE
    return {phrase: weight / total for phrase, weight in weights.items()}
