"""Maintenance over many stored chunks: verification and rebuilding the lexical index."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from agentmem.context.decode import exact_texts
from agentmem.context.hits import Chunk
from agentmem.context.load import load_chunks
from agentmem.errors import CorruptRecordError
from agentmem.ingest.encode import Progress
from agentmem.ingest.identity import content_hash, terms
from agentmem.models.base import MemoryModel
from agentmem.results import Damage, Verification
from agentmem.types import Part, Role
from agentmem_storage.records import EVERYTHING, ChunkRecord, Scope, Selection, SourceRecord
from agentmem_storage.store import Store

# How many chunks are decoded between two reports of progress.
_STEP = 64


def verify(
    store: Store,
    model: MemoryModel,
    scope: Scope,
    on_progress: Progress | None,
    *,
    decode: bool = True,
) -> Verification:
    """Check rows and checksums of a scope, then decode every text and compare it with its hash."""
    damage = [Damage(problem.chunk_id, problem.what) for problem in store.check(scope)]
    broken = {item.id for item in damage}
    selection = Selection(scope)
    total = store.count(selection)
    if not decode:
        return Verification(total, tuple(damage), decoded=False)
    seen = checked = 0
    for records in store.iterate(selection, keep_damaged=True):
        sound = [record for record in records if record.id not in broken]
        for record, text in zip(sound, exact_texts(model, sound), strict=True):
            if isinstance(text, CorruptRecordError):
                damage.append(Damage(record.id, str(text)))
            elif not _latents_match(model, record):
                damage.append(Damage(record.id, f"{record.tokens} tokens do not fit its latents"))
        seen, checked = seen + len(records), checked + len(sound)
        if on_progress is not None:
            on_progress(seen, max(seen, total))
    return Verification(checked, tuple(damage))


def lexical_terms(
    store: Store,
    model: MemoryModel,
    selection: Selection = EVERYTHING,
    on_progress: Progress | None = None,
) -> dict[int, str]:
    """The indexed text of chunks by id, without damaged ones.

    Args:
        store: The open store.
        model: Decodes the chunks.
        selection: Which chunks.
        on_progress: Called with the number of chunks decoded so far and the total.
    """
    found: dict[int, str] = {}
    total = 0 if on_progress is None else store.count(selection)
    for seen, chunk in enumerate(load_chunks(store, model, selection), start=1):
        if (text := _text(chunk)) is not None:
            found[chunk.id] = terms(text, chunk.source)
        if on_progress is not None and (seen % _STEP == 0 or seen >= total):
            on_progress(seen, max(seen, total))
    return found


def rebuild_terms(store: Store, model: MemoryModel, on_progress: Progress | None = None) -> None:
    """Rebuild the lexical index from decoded texts, which is nearly all of the time it takes."""
    store.rebuild_terms(lexical_terms(store, model, on_progress=on_progress).items())


def rebuild_stale_terms(
    store: Store, model: MemoryModel, on_progress: Progress | None = None
) -> None:
    """Rebuild the lexical index if it has terms of deleted chunks, or is of an older version."""
    if store.terms_stale:
        rebuild_terms(store, model, on_progress)


def stored_part(store: Store, model: MemoryModel, source: SourceRecord) -> Part:
    """A source as it was added, with a time only if it was added with one.

    Damaged or forgotten parts of its text are omitted, and its time then counts as given.
    """
    chunks = load_chunks(store, model, Selection(source_ids=(source.id,)))
    part = Part(
        source.kind,
        "".join(_text(chunk) or "" for chunk in chunks),
        role=cast("Role | None", source.role),
        name=source.name,
        title=source.title,
        uri=source.uri,
        metadata=source.metadata,
    )
    if content_hash(part) == source.content_hash:
        return part
    return replace(part, created_at=source.created_at)


def _latents_match(model: MemoryModel, record: ChunkRecord) -> bool:
    """Whether the latents have the number of tokens and vectors recorded in the row."""
    try:
        return len(model.codec.unpack(record.latents, record.tokens)) == record.positions
    except ValueError:
        return False


def _text(chunk: Chunk) -> str | None:
    try:
        return chunk.text
    except CorruptRecordError:
        return None
