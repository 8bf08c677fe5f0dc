"""Everything that one recall was allowed to find, for when all of it is to be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agentmem.context.hits import Hit
from agentmem.context.read import read_chunks
from agentmem.models.base import MemoryModel
from agentmem.retrieval.fusion import Scored
from agentmem_storage.records import Selection, SelectionSums
from agentmem_storage.store import Store


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """The chunks that a selection lets through, as the store has them whenever it is asked.

    Nothing is read before it is asked for, and then with the store open.

    Attributes:
        store: Where they are.
        model: What reads them.
        selection: Which they are.
        count: How many they were when the recall was made.
    """

    store: Store
    model: MemoryModel
    selection: Selection
    count: int

    def sums(self) -> SelectionSums:
        """How much it is, added up by the database: no memory is loaded."""
        return self.store.sums(self.selection)

    def hits(self) -> Iterator[Hit]:
        """All of it by ascending id, each as a hit that no search came upon."""
        for chunk in read_chunks(self.store, self.model, self.selection):
            unfound = Scored(chunk.id)
            yield Hit(chunk.record, chunk.source, chunk.loader, unfound.score, unfound.explain)
