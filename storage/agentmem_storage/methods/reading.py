"""`Reading`: the methods of a store that read once, each from a snapshot of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.records import (
    ANY_SCOPE,
    EVERYTHING,
    ChunkRecord,
    LatentsRecord,
    Link,
    Neighbors,
    Ranked,
    Scope,
    Selection,
    SourceRecord,
    WordMatches,
)
from agentmem_storage.snapshot import Snapshot

T = TypeVar("T")


class Reading(ABC):
    """Reads by snapshots. What takes several of these methods is read with `snapshot` itself."""

    @abstractmethod
    def snapshot(self, read: Callable[[Snapshot], T]) -> T:
        """See `agentmem_storage.store.Store.snapshot`."""

    def chunks(self, ids: Iterable[int], *, keep_damaged: bool = False) -> list[ChunkRecord]:
        """See `Snapshot.chunks`."""
        return self.snapshot(lambda one: one.chunks(ids, keep_damaged=keep_damaged))

    def sources(self, ids: Iterable[int], *, keep_damaged: bool = False) -> list[SourceRecord]:
        """See `Snapshot.sources`."""
        return self.snapshot(lambda one: one.sources(ids, keep_damaged=keep_damaged))

    def sources_present(self, ids: Iterable[int]) -> list[SourceRecord]:
        """See `Snapshot.sources_present`."""
        return self.snapshot(lambda one: one.sources_present(ids))

    def latents(self, ids: Iterable[int]) -> list[LatentsRecord]:
        """See `Snapshot.latents`."""
        return self.snapshot(lambda one: one.latents(ids))

    def ids(self, selection: Selection = EVERYTHING) -> NDArray[np.int64]:
        """See `Snapshot.ids`."""
        return self.snapshot(lambda one: one.ids(selection))

    def unknown_keys(self, selection: Selection) -> tuple[str, ...]:
        """See `Snapshot.unknown_keys`."""
        return self.snapshot(lambda one: one.unknown_keys(selection))

    def became(self, id: int, scope: Scope = ANY_SCOPE) -> tuple[int, ...]:
        """See `Snapshot.became`."""
        return self.snapshot(lambda one: one.became(id, scope))

    def chain(self, source_id: int) -> list[int]:
        """See `Snapshot.chain`."""
        return self.snapshot(lambda one: one.chain(source_id))

    def link_candidates(self, scope: Scope = ANY_SCOPE) -> list[Link]:
        """See `Snapshot.link_candidates`."""
        return self.snapshot(lambda one: one.link_candidates(scope))

    def source_named(self, external_id: str, scope: Scope = ANY_SCOPE) -> int:
        """See `Snapshot.source_named`."""
        return self.snapshot(lambda one: one.source_named(external_id, scope))

    def neighbors(self, ids: Iterable[int], reach: int = 1) -> Neighbors:
        """See `Snapshot.neighbors`."""
        return self.snapshot(lambda one: one.neighbors(ids, reach))

    def episodes(self, ids: Iterable[int]) -> dict[int, tuple[int, ...]]:
        """See `Snapshot.episodes`."""
        return self.snapshot(lambda one: one.episodes(ids))

    def search_vectors(
        self, embedding: NDArray[np.float32], k: int, selection: Selection = EVERYTHING
    ) -> Ranked:
        """See `Snapshot.search_vectors`."""
        return self.snapshot(lambda one: one.search_vectors(embedding, k, selection))

    def search_terms(self, query: str, k: int, selection: Selection = EVERYTHING) -> Ranked:
        """See `Snapshot.search_terms`."""
        return self.snapshot(lambda one: one.search_terms(query, k, selection))

    def word_matches(self, query: str, ids: Iterable[int], scope: Scope) -> WordMatches:
        """See `Snapshot.word_matches`."""
        return self.snapshot(lambda one: one.word_matches(query, ids, scope))
