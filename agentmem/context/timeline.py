"""Episodes of a scope, the last one first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from agentmem.context.hits import Chunk
from agentmem.context.load import load_chunks
from agentmem.errors import InputError
from agentmem.models.base import MemoryModel
from agentmem_storage.numbers import as_int
from agentmem_storage.records import Scope, Selection
from agentmem_storage.snapshot import Snapshot
from agentmem_storage.store import Store

_MAX_ID = 2**63 - 1
_STEP = 256  # ids read at a time; an episode has at most `agentmem_storage.episodes.MOST`


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """A run of memories of one scope that are close in time and topic.

    Attributes:
        chunks: The memories, in the order in which they were said.
    """

    chunks: tuple[Chunk, ...]

    @property
    def scope(self) -> Scope:
        """Whose memories they are."""
        return self.chunks[0].scope

    @property
    def started_at(self) -> datetime:
        """When the first of them was said."""
        return self.chunks[0].created_at

    @property
    def ended_at(self) -> datetime:
        """When the last of them was said."""
        return self.chunks[-1].created_at

    @property
    def newest(self) -> int:
        """Id of the memory that was added last, for ``before=`` of `agentmem.Memory.episodes`."""
        return max(chunk.id for chunk in self.chunks)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, texts included."""
        return {
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "newest": self.newest,
            "memories": [chunk.to_dict() for chunk in self.chunks],
        }


def load_episodes(
    store: Store, model: MemoryModel, scope: Scope, *, limit: int, before: int | None
) -> tuple[Episode, ...]:
    """Episodes in the order of their newest memories, the last added first.

    Args:
        store: The store.
        model: Decodes the texts.
        scope: Only episodes of this scope.
        limit: How many at most.
        before: Only episodes whose newest memory has an id below this one; None: any.

    Raises:
        InputError: the limit is not positive.
    """
    limit = as_int(limit, "limit")
    if limit < 1:
        raise InputError(f"limit={limit!r} must be at least 1")
    edge = None if before is None else max(-_MAX_ID, min(as_int(before, "before"), _MAX_ID))
    episodes: list[Episode] = []
    for ids in _groups(store, scope, edge):
        chunks = tuple(load_chunks(store, model, Selection(scope, ids=ids)))
        if chunks:  # not forgotten in the meantime
            episodes.append(Episode(tuple(sorted(chunks, key=lambda chunk: chunk.order))))
        if len(episodes) == limit:
            break
    return tuple(episodes)


def _groups(store: Store, scope: Scope, before: int | None) -> Iterator[tuple[int, ...]]:
    """The ids of each episode, met at its newest memory."""
    while True:
        ids, groups = store.snapshot(partial(_step, scope=scope, before=before))
        for id in ids:
            if max(groups[id]) == id:
                yield groups[id]
        if not ids:
            return
        before = ids[-1]


def _step(
    one: Snapshot, *, scope: Scope, before: int | None
) -> tuple[list[int], dict[int, tuple[int, ...]]]:
    """Some newest ids, and the episode of each."""
    ids = one.recent(scope, most=_STEP, before=before)
    return ids, one.episodes(ids)
