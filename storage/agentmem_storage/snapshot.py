"""`Snapshot`: what is read of a store, all from one state of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from agentmem_storage.errors import InputError, UnknownIdError
from agentmem_storage.numbers import as_int
from agentmem_storage.records import (
    ANY_SCOPE,
    EVERYTHING,
    ChunkRecord,
    LatentsRecord,
    Link,
    Linked,
    Neighbors,
    Ranked,
    Said,
    Scope,
    Selection,
    SourceRecord,
    WordMatches,
)
from agentmem_storage.shield import raise_if_abandoned
from agentmem_storage.sql.lexical import matches, terms
from agentmem_storage.sql.lexical.phrases import Among, Count
from agentmem_storage.sql.logs import replaced
from agentmem_storage.sql.reading import episodes, neighbors, recent
from agentmem_storage.sql.reading.chunks import read_chunks, read_latents, read_said
from agentmem_storage.sql.reading.chunks_with_sources import read_with_sources
from agentmem_storage.sql.reading.sources import present_sources, read_sources
from agentmem_storage.sql.reading.state import (
    Listed,
    State,
    list_ids,
    read_state,
    read_state_and_ids,
)
from agentmem_storage.sql.reading.word_counts import WordCounts
from agentmem_storage.sql.where.expiry import moment
from agentmem_storage.sql.where.fields import PREFIX
from agentmem_storage.sql.where.filters import metadata_keys
from agentmem_storage.sql.where.selection import as_id, selected
from agentmem_storage.sql.writing import external, links
from agentmem_storage.sync.base import AnyIndexSync
from agentmem_storage.words import parse

# A scope of less than this part of the store's chunks is filtered row by row.
_MANY = 4


class Snapshot:
    """One state of a store, for as long as `Store.snapshot` runs; for one thread.

    Whatever others write meanwhile, every method sees the same chunks. What several methods need,
    such as the ids that a selection matches, is read once. K is the number of dims of the store's
    embeddings.

    What has expired when it is made is not in it.

    Attributes:
        searched: Whether vectors were searched, so that the index may have caught up.
    """

    def __init__(
        self,
        connection: Connection,
        index: AnyIndexSync,
        embedding_dims: int,
        now: int,
        word_counts: WordCounts,
        torn: frozenset[int] = frozenset(),
    ) -> None:
        self._transaction = connection
        # No search finds these: there is nothing to tell of them but that they are damaged.
        self._torn = torn
        self._now = now
        self._index = index
        self._embedding_dims = embedding_dims
        self._word_counts = word_counts
        self.searched = False
        self._known_state: State | None = None
        # Not a dict, because a filter cannot be hashed; there are one or two.
        self._known_ids: list[tuple[Selection, Listed]] = []
        self._known_counts: dict[tuple[str, Scope], dict[str, int]] = {}
        self._known_said: dict[int, Said] = {}
        self._has_links: bool | None = None

    def ids(self, selection: Selection = EVERYTHING) -> NDArray[np.int64]:
        """Ids of the selected chunks, ascending, int64 of shape (n,).

        Raises:
            FilterError: The selection's filter is malformed.
        """
        return self._listed(selection).ids

    def count(self, selection: Selection = EVERYTHING) -> int:
        """Number of selected chunks.

        Raises:
            FilterError: The selection's filter is malformed.
        """
        whole = selection.everything and self._expired_by is None
        return self._state.chunks if whole else len(self.ids(selection))

    def unknown_keys(self, selection: Selection) -> tuple[str, ...]:
        """The metadata keys in a selection's filter that no chunk of its scope has.

        Raises:
            FilterError: The filter is malformed.
        """
        if selection.where is None or not self.count(Selection(selection.scope)):
            return ()
        return tuple(
            key
            for key in metadata_keys(selection.where)
            if not self.count(Selection(selection.scope, where={PREFIX + key: {"exists": True}}))
        )

    def became(self, id: int, scope: Scope = ANY_SCOPE) -> tuple[int, ...]:
        """The chunks of a scope's source whose text was replaced, by the id of an earlier chunk."""
        source_id = replaced.source_of(self._connection, as_id(id))
        if source_id is None:
            return ()
        return tuple(self.ids(Selection(scope, source_ids=(source_id,))).tolist())

    def source_named(self, external_id: str, scope: Scope = ANY_SCOPE) -> int:
        """The id of the source with an external id.

        Raises:
            UnknownIdError: The scope has none.
            InputError: Several scopes have one.
        """
        ids = (external_id,)
        return external.resolve(self._connection, scope, ids, self._expired_by)[external_id]

    def matching(self, ids: Iterable[int], selection: Selection) -> set[int]:
        """Those of the given chunks that are selected.

        Raises:
            FilterError: The selection's filter is malformed.
        """
        wanted = np.fromiter(ids, dtype=np.int64)
        found: list[int] = wanted[np.isin(wanted, self.ids(selection))].tolist()
        return set(found)

    def chunks(self, ids: Iterable[int], *, keep_damaged: bool = False) -> list[ChunkRecord]:
        """Chunks in the order of ``ids``.

        Args:
            ids: Chunk ids.
            keep_damaged: Return damaged rows too, with `ChunkRecord.damage` set.

        Raises:
            UnknownIdError: No chunk has one of the ids.
            CorruptRecordError: A row is damaged; names the first.
        """
        return read_chunks(self._connection, ids, keep_damaged=keep_damaged)

    def sources_present(self, ids: Iterable[int]) -> list[SourceRecord]:
        """Those of the given sources that there are, by ascending id, damaged ones included."""
        return self.sources(present_sources(self._connection, ids), keep_damaged=True)

    def sources(self, ids: Iterable[int], *, keep_damaged: bool = False) -> list[SourceRecord]:
        """Sources in the order of ``ids``.

        Args:
            ids: Source ids.
            keep_damaged: Return damaged rows too, with `SourceRecord.damage` set.

        Raises:
            UnknownIdError: No source has one of the ids.
            CorruptRecordError: A row is damaged; names the first.
        """
        return read_sources(self._connection, ids, keep_damaged=keep_damaged)

    def chunks_with_sources(
        self, ids: Iterable[int], *, keep_damaged: bool = False
    ) -> list[tuple[ChunkRecord, SourceRecord]]:
        """Chunks in the order of ``ids``, each with its source.

        Args:
            ids: Chunk ids.
            keep_damaged: As in `chunks` and `sources`.

        Raises:
            UnknownIdError: No chunk has one of the ids.
            CorruptRecordError: A row is damaged; names the first.
        """
        return read_with_sources(self._connection, ids, keep_damaged=keep_damaged)

    def selected_with_sources(self, selection: Selection) -> list[tuple[ChunkRecord, SourceRecord]]:
        """The selected chunks by ascending id, each with its source, damaged ones included.

        For a selection of few: unlike `ids`, it leaves the rest of the store uncounted. Chunks that
        belong to no source are left out.

        Raises:
            FilterError: The selection's filter is malformed.
        """
        query = selected(selection, now=moment(self._connection, self._now))
        ids = list_ids(self._connection, query).ids
        return read_with_sources(self._connection, ids, keep_damaged=True, skip_orphans=True)

    def latents(self, ids: Iterable[int]) -> list[LatentsRecord]:
        """Latents of chunks in the order of ``ids``, several times faster than `chunks`.

        Raises:
            UnknownIdError: No chunk has one of the ids.
        """
        return read_latents(self._connection, ids)

    def said(self, ids: Iterable[int]) -> dict[int, Said]:
        """Who said what and when, by chunk id; of those that were asked for before, too.

        Raises:
            UnknownIdError: No chunk has one of the ids.
        """
        missing = [id for id in ids if id not in self._known_said]
        if missing:
            self._known_said |= read_said(self._connection, missing)
        return self._known_said

    def linked(self, ids: Iterable[int]) -> Linked:
        """Which sources supersede those of some chunks, or are superseded by them, and so on."""
        if self._has_links is None:
            self._has_links = links.any_there(self._connection)
        if not self._has_links:
            return Linked((), {}, {})
        return links.of_chunks(self._connection, ids)

    def chain(self, source_id: int) -> list[int]:
        """The sources that stated links join with one, which is among them, oldest first.

        Raises:
            UnknownIdError: No source has that id.
        """
        if found := links.chain(self._connection, as_id(source_id)):
            return found
        raise UnknownIdError(f"no source has the id {source_id!r}")

    def link_candidates(self, scope: Scope = ANY_SCOPE) -> list[Link]:
        """The links within a scope that nobody stated, the likeliest first."""
        return links.candidates(self._connection, scope)

    def neighbors(self, ids: Iterable[int], reach: int = 1, scope: Scope = ANY_SCOPE) -> Neighbors:
        """The chunks said just before and after each in its own scope.

        They are in the order of the times of their sources; those of one time are in the order in
        which they were written.

        Args:
            ids: Chunk ids.
            reach: Maximum number on each side, 1 or more; there are fewer at the ends.
            scope: Which all of them belong to, as far as known; it makes no difference but to the
                time that this takes.

        Raises:
            UnknownIdError: No chunk has one of the ids.
        """
        wanted = [as_id(one) for one in ids]
        held = self.count(Selection(scope=scope))
        return neighbors.neighbors(self._connection, wanted, reach, held, self._expired_by)

    def episodes(self, ids: Iterable[int]) -> dict[int, tuple[int, ...]]:
        """For each chunk, the chunks of its episode including itself, in the order of `neighbors`.

        An episode is a run of chunks of one scope, close in time and topic; see
        `agentmem_storage.episodes`. A chunk written before episodes existed is alone.

        Raises:
            UnknownIdError: No chunk has one of the ids.
        """
        found = episodes.episodes(self._connection, ids, self._expired_by)
        if not self._torn:
            return found
        return {
            id: tuple(one for one in within if one not in self._torn)
            for id, within in found.items()
        }

    def recent(self, scope: Scope, *, most: int, before: int | None = None) -> list[int]:
        """The highest chunk ids of a scope, descending.

        Args:
            scope: The scope.
            most: How many at most.
            before: Only ids below this one; None: any.
        """
        now = self._expired_by
        return recent.recent(self._connection, scope, most=most, before=before, now=now)

    def search_vectors(
        self, embedding: NDArray[np.float32], k: int, selection: Selection = EVERYTHING
    ) -> Ranked:
        """Find the k selected chunks whose embeddings are nearest; scores are cosines, -1 to 1.

        Args:
            embedding: float32 array of shape (K,), not zero; only its direction counts.
            k: Maximum number of results, 1 or more.
            selection: The chunks to consider; applied before the search, not after it.

        Raises:
            InputError: The embedding has the wrong shape, or k is below 1.
            FilterError: The selection's filter is malformed.
        """
        _check_k(k)
        query = _unit(embedding, self._embedding_dims)
        whole = selection.everything and self._expired_by is None
        among = None if whole and not self._torn else self._searchable(selection).ids
        return self._search(query, k, among, selection.scope)

    def cosines(self, embedding: NDArray[np.float32], ids: Iterable[int]) -> Ranked:
        """The cosines of given chunks, as `search_vectors` gives them, but of all of them.

        Args:
            embedding: As there.
            ids: Chunk ids of this snapshot; one whose embedding is damaged is left out.

        Raises:
            InputError: The embedding has the wrong shape.
        """
        query = _unit(embedding, self._embedding_dims)
        among = np.unique(np.fromiter(ids, dtype=np.int64))
        return self._search(query, max(1, among.size), among)

    def search_terms(self, query: str, k: int, selection: Selection = EVERYTHING) -> Ranked:
        """Find the k selected chunks that match a query's words best.

        Args:
            query: Any string; one without words finds nothing.
            k: Maximum number of results, 1 or more.
            selection: The chunks to consider; applied before the ranking, not after it.

        Returns:
            Ids and scores; above 0, higher is better, unbounded. They come from BM25 over all
            chunks of the selection's scope, and from how much of the query a chunk contains. A
            chunk scores the same in all selections of one scope. If very many chunks contain a word
            of the query, only those with its rarer words are found; see
            `agentmem_storage.sql.lexical.terms`.

        Raises:
            InputError: k is below 1.
            FilterError: The selection's filter is malformed.
        """
        _check_k(k)
        whole = Selection(scope=selection.scope)
        within = self._within(selection.scope)
        # Filtering the matches by id takes longer than finding them, so that is not done where
        # nothing would be filtered out.
        everywhere = within is None and selection == whole and not self._torn
        allowed = None if everywhere else self._searchable(selection).among
        certain, possible, variants, _ = parse(query)
        phrases = [*certain, *possible, *variants]
        counts = self._counted(phrases, within, allowed)
        self._known_counts[query, selection.scope] = {one.phrase: one.scope for one in counts}
        rows, held = self._state.terms, self.count(whole)
        return terms.search(
            self._connection,
            counts,
            k,
            rows=rows,
            held=held,
            allowed=allowed,
            possible=possible,
            variants=variants,
        )

    def word_matches(self, query: str, ids: Iterable[int], scope: Scope) -> WordMatches:
        """How much of a query's words the given chunks contain; see `WordMatches`.

        Args:
            query: Any string.
            ids: The chunks; one that does not exist contains no word.
            scope: The chunks over which document frequencies are counted.
        """
        words = matches.meaningful(query)
        counts = self._known_counts.get((query, scope))
        if counts is None:
            counted = self._counted(words, self._within(scope), None)
            counts = {one.phrase: one.scope for one in counted}
            self._known_counts[query, scope] = counts
        own = {one: counts[one] for one in words}
        held = self.count(Selection(scope=scope))
        return matches.word_matches(self._connection, own, list(ids), held, parse(query))

    def _counted(
        self, phrases: Sequence[str], scope: Among | None, allowed: Among | None
    ) -> list[Count]:
        """See `agentmem_storage.sql.lexical.terms.count`; what was counted before is known."""
        state, noted = self._state, None
        if state.chunks == state.terms and not state.terms_stale:
            noted = self._word_counts.at(self._connection, state.newest, state.terms)
        known = {} if noted is None else noted.known
        counts = terms.count(self._connection, phrases, scope=scope, allowed=allowed, known=known)
        if noted is not None:
            noted.note(counts)
        return counts

    @property
    def _connection(self) -> Connection:
        # Here, because every method comes by, and some of them take long.
        raise_if_abandoned()
        return self._transaction

    @property
    def _expired_by(self) -> int | None:
        """The time of the snapshot if something has expired by then."""
        return self._now if self._state.expired else None

    @property
    def _state(self) -> State:
        if self._known_state is None:
            self._known_state = read_state(self._connection, self._now)
        return self._known_state

    def _search(
        self,
        query: NDArray[np.float32],
        k: int,
        among: NDArray[np.int64] | None,
        scope: Scope = ANY_SCOPE,
    ) -> Ranked:
        self.searched = True
        return self._index.search(self._connection, self._state.newest, query, k, among, scope)

    def _listed(self, selection: Selection) -> Listed:
        for known, listed in self._known_ids:
            # Filters that Python calls equal may differ: true equals 1 there.
            if known == selection and known.where is selection.where:
                return listed
        few = self._few(selection)
        found: Listed | None = None
        if self._known_state is None:
            # In one statement, as if nothing had expired; which is so nearly always.
            query = selected(selection, now=None, few=few)
            self._known_state, found = read_state_and_ids(self._connection, query, self._now)
        if found is None or self._expired_by is not None:
            query = selected(selection, now=self._expired_by, few=few)
            found = list_ids(self._connection, query)
        self._known_ids.append((selection, found))
        return found

    def _searchable(self, selection: Selection) -> Listed:
        listed = self._listed(selection)
        if not self._torn:
            return listed
        ids = listed.ids[~np.isin(listed.ids, list(self._torn))]
        return Listed(ids, json.dumps(ids.tolist()))

    def _few(self, selection: Selection) -> bool | None:
        """Whether a filter selects from a small part of the store; see `selected`."""
        parts = (selection.ids, selection.source_ids, selection.external_ids)
        if selection.where is None or selection.scope == ANY_SCOPE or parts != (None, None, None):
            return None
        # A search lists the scope anyway.
        return self.count(Selection(scope=selection.scope)) * _MANY < self._state.chunks

    def _within(self, scope: Scope) -> Among | None:
        """The chunks of a scope; None if the rows of the lexical index are exactly its chunks."""
        whole = Selection(scope=scope)
        if self.count(whole) == self._state.terms and not self._state.terms_stale:
            return None
        return self._listed(whole).among


def _check_k(k: int) -> None:
    if as_int(k, "k") < 1:
        raise InputError(f"k must be 1 or more, got {k!r}")


def _unit(embedding: NDArray[np.float32], embedding_dims: int) -> NDArray[np.float32]:
    if embedding.shape != (embedding_dims,):
        raise InputError(
            f"embeddings of this store have shape {(embedding_dims,)}, got {embedding.shape}"
        )
    wide = embedding.astype(np.float64)
    norm = float(np.sqrt((wide * wide).sum()))
    if not 0.0 < norm < float("inf"):
        raise InputError("an embedding must be finite and not zero")
    return (wide / norm).astype(np.float32)
