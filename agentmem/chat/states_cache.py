"""The states of a reader's hits, kept in the cache of the store that the hits are from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from agentmem.context.hits import Chunk
from agentmem_storage.records import NewStates

if TYPE_CHECKING:
    from agentmem_storage.store import Store


class StoreStatesCache:
    """Finds and keeps the states of chunks, by their position in a list.

    See `agentmem.models.reader.states_cache.StatesCache`. Where the store cannot keep any, or is
    closed, nothing is found and nothing is kept.

    Args:
        store: The store that the chunks are from.
        chunks: The chunks, each once.
    """

    def __init__(self, store: Store, chunks: Sequence[Chunk]) -> None:
        self._store = store
        self._chunks = chunks

    def find(self, reader: str, digests: Sequence[bytes]) -> Mapping[int, bytes]:
        """See `StatesCache.find`."""
        ids = [chunk.id for chunk in self._chunks]
        found = self._store.find_states(reader, dict(zip(ids, digests, strict=True)))
        return {position: found[id] for position, id in enumerate(ids) if id in found}

    def keep(self, reader: str, made: Mapping[int, tuple[bytes, bytes]]) -> Collection[int]:
        """See `StatesCache.keep`."""
        new = [
            new_states(self._chunks[position], digest, packed)
            for position, (digest, packed) in made.items()
        ]
        kept = self._store.keep_states(reader, new).ids
        return [position for position in made if self._chunks[position].id in kept]


def new_states(chunk: Chunk, digest: bytes, packed: bytes) -> NewStates:
    """The states of a chunk, as a store keeps them."""
    return NewStates(chunk.id, chunk.source, chunk.text_hash, digest, packed)
