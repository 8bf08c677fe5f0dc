"""Work over many stored chunks: checking them, and telling the lexical index what they say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agentmem.errors import CorruptRecordError
from agentmem.ingest import Progress, terms
from agentmem.models.base import MemoryModel
from agentmem.recall.exact import exact_texts
from agentmem.receipts import Damage, Verification
from agentmem_storage.records import ChunkRecord
from agentmem_storage.store import Store

_BATCH = 256


def verify(store: Store, model: MemoryModel, on_progress: Progress | None) -> Verification:
    """Check rows and checksums, then regenerate every text and compare it with its hash."""
    damage = [Damage(problem.chunk_id, problem.what) for problem in store.check()]
    broken = {item.id for item in damage}
    ids = [id for id in store.ids().tolist() if id not in broken]
    checked = 0
    for batch in _batches(ids):
        for record, text in _readable(store, model, batch):
            checked += 1
            if text is None:
                damage.append(Damage(record.id, "its text does not match its hash"))
        if on_progress is not None:
            on_progress(checked, len(ids))
    return Verification(checked, tuple(damage))


def lexical_terms(store: Store, model: MemoryModel, ids: Sequence[int]) -> dict[int, str]:
    """What the lexical index was given for chunks, by id; damaged ones are left out."""
    found: dict[int, str] = {}
    for batch in _batches(ids):
        rows = [(r, text) for r, text in _readable(store, model, batch) if text is not None]
        sources = {s.id: s for s in store.sources(sorted({r.source_id for r, _ in rows}))}
        found.update({r.id: terms(text, sources[r.source_id]) for r, text in rows})
    return found


def rebuild_terms(store: Store, model: MemoryModel) -> None:
    """Make the lexical index again from what the latents say."""
    store.rebuild_terms(lexical_terms(store, model, store.ids().tolist()).items())


def _batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), _BATCH):
        yield ids[start : start + _BATCH]


def _readable(
    store: Store, model: MemoryModel, ids: Sequence[int]
) -> Iterator[tuple[ChunkRecord, str | None]]:
    """Chunks that have a sound row, with their exact texts; None where the text is damaged."""
    records = list(_sound(store, ids))
    yield from zip(records, _texts(model, records), strict=True)


def _sound(store: Store, ids: Sequence[int]) -> Iterator[ChunkRecord]:
    try:
        yield from store.chunks(ids)
    except CorruptRecordError:
        if len(ids) > 1:
            for id in ids:
                yield from _sound(store, [id])


def _texts(model: MemoryModel, records: list[ChunkRecord]) -> list[str | None]:
    try:
        return list(exact_texts(model, records))
    except CorruptRecordError:
        if len(records) == 1:
            return [None]
        return [text for record in records for text in _texts(model, [record])]
