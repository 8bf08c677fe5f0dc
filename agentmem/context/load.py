"""Loads stored rows as chunks and hits, whose texts are decoded later."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Any

from agentmem.context.decode import BatchLoader
from agentmem.context.hits import Chunk, Hit, Occurrence, make_lazy
from agentmem.errors import UnknownIdError
from agentmem.models.base import MemoryModel
from agentmem_storage.records import (
    WHOLE,
    ChunkRecord,
    Page,
    Scope,
    Selection,
    SourceRecord,
)
from agentmem_storage.snapshot import Snapshot
from agentmem_storage.store import Store

# Opening a store imports this module too, and needs no search.
if TYPE_CHECKING:
    from agentmem.retrieval.search import Found


def load_chunks(
    store: Store, model: MemoryModel, selection: Selection, page: Page = WHOLE
) -> Iterator[Chunk]:
    """Selected chunks in the order in which they were added, or reversed; damaged ones included.

    Chunks that are added during the iteration are not included, and those that are forgotten or
    replaced are skipped.

    Raises:
        UnknownIdError: the chunk that the page follows is not in the selection's scope.
    """
    for values, loader in _load(store, model, selection, page):
        yield make_lazy(Chunk, values, loader)


def load_chunk(store: Store, model: MemoryModel, selection: Selection) -> Chunk | None:
    """The one chunk that a selection may have, damaged or not, from one state of the store."""
    for record, source in store.snapshot(lambda one: one.selected_with_sources(selection)):
        return make_lazy(Chunk, _values(record, source, model), BatchLoader(model, [record]))
    return None


def load_unscored(
    store: Store, model: MemoryModel, selection: Selection, *, zone: tzinfo = UTC
) -> Iterator[Hit]:
    """Like `load_chunks`, but as hits with a score and a relevance of 0, with times in a zone."""
    from agentmem.retrieval.fusion import Scored

    for values, loader in _load(store, model, selection):
        values["source"] = _in_zone(values["source"], zone)
        zero = Scored(values["id"])
        scores: dict[str, Any] = {"score": zero.score, "relevance": 0.0, "explain": zero.explain}
        scores |= {"expanded_from": None, "occurrences": ()}
        scores |= {"supersedes": (), "superseded_by": ()}
        yield make_lazy(Hit, values | scores, loader)


def load_hits(
    snapshot: Snapshot,
    model: MemoryModel,
    ranked: Sequence[Found],
    relevance: Mapping[int, float],
    *,
    scope: Scope,
    zone: tzinfo = UTC,
) -> tuple[Hit, ...]:
    """Search results as hits, in the given order.

    Args:
        snapshot: The state of the store.
        model: Decodes the chunks.
        ranked: What the search found, in this order.
        relevance: Of each of them, by id.
        scope: Where memories that supersede them may be.
        zone: The zone of their times, which says on which day something was said.
    """
    if not ranked:
        return ()
    rows = snapshot.chunks_with_sources([found.item.id for found in ranked], keep_damaged=True)
    loader = BatchLoader(model, [record for record, _ in rows])
    links = _Links(snapshot, [record.id for record, _ in rows], scope)
    return tuple(
        make_lazy(
            Hit,
            _values(record, _in_zone(source, zone), model)
            | {
                "score": found.item.score,
                "relevance": relevance[found.item.id],
                "explain": found.item.explain,
                "expanded_from": found.expanded_from,
                "occurrences": tuple(
                    Occurrence(id, said.astimezone(zone)) for id, said in found.repeats
                ),
                "supersedes": links.older(source.id),
                "superseded_by": links.newer(source.id),
            },
            loader,
        )
        for (record, source), found in zip(rows, ranked, strict=True)
    )


class _Links:
    """Which memories of a scope supersede others."""

    def __init__(self, snapshot: Snapshot, ids: Sequence[int], scope: Scope) -> None:
        from agentmem.retrieval.succession import LEAST_SCORE

        linked = snapshot.linked(ids)
        firsts = {source: own[0] for source, own in linked.chunk_ids.items() if own}
        allowed = snapshot.matching(firsts.values(), Selection(scope)) if firsts else set()
        self._firsts = {source: id for source, id in firsts.items() if id in allowed}
        self._pairs = [
            (link.old, link.new)
            for link in linked.links
            if link.score is None or link.score >= LEAST_SCORE
        ]

    def older(self, source: int) -> tuple[int, ...]:
        """Those that a source supersedes."""
        return self._ids(old for old, new in self._pairs if new == source)

    def newer(self, source: int) -> tuple[int, ...]:
        """Those that supersede it."""
        return self._ids(new for old, new in self._pairs if old == source)

    def _ids(self, sources: Iterable[int]) -> tuple[int, ...]:
        return tuple(sorted(self._firsts[one] for one in sources if one in self._firsts))


def _load(
    store: Store, model: MemoryModel, selection: Selection, page: Page | None = None
) -> Iterator[tuple[dict[str, Any], BatchLoader]]:
    for records in store.iterate(selection, keep_damaged=True, page=page):
        sources = _sources(store, {record.source_id for record in records})
        loader = BatchLoader(model, records)
        for record in records:
            if record.source_id in sources:
                yield _values(record, sources[record.source_id], model), loader


def _values(record: ChunkRecord, source: SourceRecord, model: MemoryModel) -> dict[str, Any]:
    """All fields of a chunk but its text and latents, and for a damaged row its positions."""
    positions = {} if record.damage is not None else {"positions": record.positions}
    return positions | {
        "id": record.id,
        "source": source,
        "span": (record.start, record.end),
        "tokens": record.tokens,
        "fidelity": record.fidelity,
        "latents_fingerprint": model.codec.fingerprint,
        "embedding": record.embedding,
        "text_hash": record.text_hash,
        "text_stored": record.text is not None,
        "stored_bytes": record.stored_bytes,
        "patch_bytes": len(record.patch),
    }


def _in_zone(source: SourceRecord, zone: tzinfo) -> SourceRecord:
    """A source with its time in a zone; the instant stays the same."""
    with suppress(OverflowError):  # in the first or last hours of the calendar
        return replace(source, created_at=source.created_at.astimezone(zone))
    return source


def _sources(store: Store, ids: set[int]) -> dict[int, SourceRecord]:
    """Sources by id, without those that have just been forgotten by another writer."""
    try:
        return {source.id: source for source in store.sources(sorted(ids), keep_damaged=True)}
    except UnknownIdError:
        if len(ids) == 1:
            return {}
        return {id: one for id in sorted(ids) for one in _sources(store, {id}).values()}
