"""Hits, each followed by the memories that have the same text, for stores of records with keys.

A recall returns a text once, and only names the others that have it; for a store these are records
of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentmem.context.hits import Chunk
    from agentmem.context.recall import Recall
    from agentmem.memory import Memory


def with_repeats(memory: Memory, hits: Recall) -> Iterator[tuple[Chunk, float]]:
    """Chunks and scores, best first."""
    ids = [other.id for hit in hits for other in hit.occurrences]
    found = memory.list(where={"id": {"in": ids}}) if ids else ()
    repeats = {one.id: one for one in found}
    for hit in hits:
        yield hit, hit.score
        for other in hit.occurrences:
            if other.id in repeats:
                yield repeats[other.id], hit.score
