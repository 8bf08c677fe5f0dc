"""Stored chunks as the public sees them."""

from __future__ import annotations

from collections.abc import Iterator

from agentmem.context.decode import Loader
from agentmem.context.hits import Chunk
from agentmem.errors import UnknownIdError
from agentmem.models.base import MemoryModel
from agentmem_storage.records import Selection, SourceRecord
from agentmem_storage.store import Store


def read_chunks(store: Store, model: MemoryModel, selection: Selection) -> Iterator[Chunk]:
    """Selected chunks by ascending id, damaged ones too; what is forgotten meanwhile is left out.

    Texts are decoded some hundred at a time, when the first of them is asked for.
    """
    for records in store.iterate(selection, keep_damaged=True):
        sources = _sources(store, {record.source_id for record in records})
        loader = Loader(model, records)
        for record in records:
            if record.source_id in sources:
                yield Chunk(record, sources[record.source_id], loader)


def _sources(store: Store, ids: set[int]) -> dict[int, SourceRecord]:
    """Sources by id, without those that somebody has just forgotten."""
    try:
        return {source.id: source for source in store.sources(sorted(ids), keep_damaged=True)}
    except UnknownIdError:
        if len(ids) == 1:
            return {}
        return {id: one for id in sorted(ids) for one in _sources(store, {id}).values()}
