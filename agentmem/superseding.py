"""Memories that supersede others: the work behind `Memory.supersede`, `history` and `conflicts`."""

from __future__ import annotations

from collections.abc import Sequence

from agentmem.context.hits import Chunk
from agentmem.context.source import Source, load_source
from agentmem.errors import InputError
from agentmem.models.base import MemoryModel
from agentmem.results import Conflict
from agentmem.types import Part
from agentmem_storage.records import Link, Scope, Selection
from agentmem_storage.store import Store


def require_one(parts: Sequence[Part]) -> Part:
    """The part that supersedes another memory.

    Raises:
        InputError: There are several.
    """
    if len(parts) != 1:
        raise InputError(
            f"supersedes= is for one message or document, and this has {len(parts)} parts: add "
            f"them, then call supersede(old, new) for each pair"
        )
    return parts[0]


def separate(store: Store, old: Chunk, new: Chunk) -> None:
    """Delete the link between the sources of two chunks.

    Raises:
        InputError: there is none.
    """
    if not store.separate(old.source.id, new.source.id):
        raise InputError(
            f"memory {new.id} does not supersede memory {old.id}: there is nothing to undo"
        )


def history(store: Store, model: MemoryModel, scope: Scope, source_id: int) -> tuple[Source, ...]:
    """All sources of a scope that statements join with one, the first of them first.

    Raises:
        UnknownIdError: it has been forgotten in the meantime.
        CorruptRecordError: one of them is damaged.
    """
    chain = store.chain(source_id)
    present = set(store.ids(Selection(scope, source_ids=tuple(chain))).tolist())
    found = store.sources_present(chain)
    within = {one.id for one in found if present.intersection(one.chunk_ids)}
    return tuple(load_source(store, model, scope, id) for id in chain if id in within)


def conflicts(store: Store, links: Sequence[Link]) -> tuple[Conflict, ...]:
    """Candidates, by the ids of chunks; without those of sources that are gone or expired."""
    ids = {id for link in links for id in (link.old, link.new)}
    present = set(store.ids(Selection(source_ids=tuple(ids))).tolist())
    found = store.sources_present(ids)
    first = {one.id: one.chunk_ids[0] for one in found if present.intersection(one.chunk_ids)}
    return tuple(
        Conflict(first[link.old], first[link.new], link.score)
        for link in links
        if link.score is not None and {link.old, link.new} <= first.keys()
    )
