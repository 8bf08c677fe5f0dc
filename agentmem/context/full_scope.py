"""Everything that a recall could have returned, for packing the whole scope when it fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, tzinfo

from agentmem.context.hits import Hit
from agentmem.context.load import load_unscored
from agentmem.models.base import MemoryModel
from agentmem_storage.records import Selection, SelectionSums
from agentmem_storage.store import Store


@dataclass(frozen=True, slots=True, eq=False)
class FullScope:
    """The chunks that match a recall's scope, filters and times, at the time of each call.

    Nothing is read until a method is called, and the store must then still be open.

    Attributes:
        store: The open store.
        model: Decodes the chunks.
        selection: Scope, filters and times of the recall.
        count: Number of matching chunks when the recall was made.
        zone: The zone of their times.
    """

    store: Store
    model: MemoryModel
    selection: Selection
    count: int
    zone: tzinfo = UTC

    def sums(self) -> SelectionSums:
        """Total tokens and positions, summed by the database without loading any chunk."""
        return self.store.sums(self.selection)

    def hits(self) -> Iterator[Hit]:
        """All matching chunks by ascending id, as hits with a score of 0."""
        return load_unscored(self.store, self.model, self.selection, zone=self.zone)

    def count_tokens(self, text: str) -> int:
        """Number of tokens of a text, by the tokenizer of the store's model."""
        return len(self.model.tokenizer.encode(text))
