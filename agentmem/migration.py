"""Brings a store from one model to another: `agentmem.Memory.migrate`.

Texts are decoded with the old bundle and encoded with the new one; none has to be kept for that.
If both have the same autoencoder, latents stay as they are, and only embeddings are made. Each
chunk is encoded, decoded again and compared with its hash before it is staged; the store changes
when all of them are, in one transaction.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from agentmem.context.decode import exact_texts
from agentmem.errors import (
    CorruptRecordError,
    IncompatibleModelError,
    InputError,
    ModelError,
    StoreBusyError,
)
from agentmem.ingest.chunk import Piece, chunk_text
from agentmem.ingest.encode import EncodingOptions, Progress
from agentmem.ingest.identity import preface, preface_ids, text_hash
from agentmem.maintenance import rebuild_stale_terms
from agentmem.models.base import EncodedChunk, Latent, MemoryModel
from agentmem.models.bundle.find import find_bundle
from agentmem.models.load import load_model
from agentmem.opening import Location, bundle_wanted, index_choice, same_latents
from agentmem.results import Changed, Migration, make_stats
from agentmem_storage.encryption.master import Key
from agentmem_storage.records import (
    ChunkRecord,
    ModelBinding,
    NewChunk,
    Selection,
    SourceRecord,
    StagedChunk,
)
from agentmem_storage.snapshot import Snapshot
from agentmem_storage.store import Store

_BATCH = 256
# Chunks that are decoded to find out whether a bundle can read a store.
_SAMPLE = 16
# In each, others have added something while what was there before was encoded.
_ROUNDS = 50
# What has expired is stored until it is erased.
_ALL = Selection(expired=None)


@dataclass(frozen=True, slots=True)
class _Work:
    """What is done to each chunk.

    Attributes:
        old: Decodes it; of another bundle than ``new`` only if it is encoded again.
        new: The model that the store gets.
        options: How it is encoded; None if only its embedding is made.
    """

    old: MemoryModel
    new: MemoryModel
    options: EncodingOptions | None


def migrate(
    location: Location,
    *,
    model: Location | MemoryModel | None,
    embedder: str,
    from_model: Location | MemoryModel | None,
    keep_old: Location | None,
    options: EncodingOptions,
    timeout_s: float,
    key: Key | None,
    on_progress: Progress | None,
) -> Migration:
    """Bind a store to another model; see `agentmem.Memory.migrate`."""
    if os.fspath(location) == ":memory:":
        raise InputError("a store in memory is always new: there is nothing to migrate")
    new = load_model(model, embedder)
    bound = Store.binding(location, timeout_s=timeout_s, key=key)
    target = ModelBinding(new.fingerprint, new.embedder.dims, new.codec.fingerprint)
    with Store.open(
        location,
        model=bound.model,
        embedding_dims=bound.embedding_dims,
        latents=bound.latents,
        create=False,
        timeout_s=timeout_s,
        index=index_choice(None),
        key=key,
    ) as store:
        work = _plan(store, bound, new, from_model, options)
        before = make_stats(store.stats(), work.old.name, bound.model)
        if bound.model == new.fingerprint:
            return Migration("nothing", before, before)
        kept = None if keep_old is None else store.backup(keep_old).folder
        staged = store.count(_ALL) - len(store.unstaged(target))
        split = _run(store, target, work, on_progress)
        rebuild_stale_terms(store, new, on_progress)
        after = make_stats(store.stats(), new.name, new.fingerprint)
    changed: Changed = "embeddings" if work.options is None else "latents"
    return Migration(changed, before, after, split=split, resumed=staged, kept=kept)


def _plan(
    store: Store,
    bound: ModelBinding,
    new: MemoryModel,
    from_model: Location | MemoryModel | None,
    options: EncodingOptions,
) -> _Work:
    """What has to be done, with the bundle that can read the store.

    Raises:
        IncompatibleModelError: there is none.
    """
    if same_latents(bound.model, bound.latents, new):
        return _Work(new, new, None)
    folder = find_bundle(bound.model) if from_model is None else from_model
    if folder is not None:
        old = load_model(folder)
        if same_latents(bound.model, bound.latents, old) is False:
            raise IncompatibleModelError(
                f"the store at {store.location!r} was not written with the bundle {old.name!r} "
                f"that from_model names, but with {bound.model!r}: {bundle_wanted(bound.model)}",
                model=bound.model,
                latents=bound.latents,
            )
        return _Work(old, new, options)
    # Neither is known of a store of an early version; its latents tell.
    if bound.latents is None and _reads(store, new):
        return _Work(new, new, None)
    raise IncompatibleModelError(
        f"the store at {store.location!r} can only be read with the bundle that wrote it: "
        f"{bundle_wanted(bound.model)}, or name it as from_model",
        model=bound.model,
        latents=bound.latents,
    )


def _reads(store: Store, model: MemoryModel) -> bool:
    """Whether a model decodes what is stored; of an empty store, True."""
    records = store.chunks(store.ids(_ALL)[:_SAMPLE], keep_damaged=True)
    sound = [record for record in records if record.damage is None and record.text is None]
    texts = exact_texts(model, sound)
    return any(isinstance(one, str) for one in texts) or not texts


def _run(
    store: Store, target: ModelBinding, work: _Work, on_progress: Progress | None
) -> tuple[int, ...]:
    """Stage all chunks and switch; the ids of those that were split.

    Raises:
        CorruptRecordError: chunks are damaged; nothing was switched.
        StoreBusyError: others add faster than this encodes.
    """
    for _ in range(_ROUNDS):
        _stage_all(store, target, work, on_progress)
        done = store.switch(target)
        if not done.left:
            return done.split
    raise StoreBusyError(
        f"others keep adding to the store at {store.location!r}: nothing was changed; what was "
        f"encoded is kept, so try again"
    )


def _stage_all(
    store: Store, target: ModelBinding, work: _Work, on_progress: Progress | None
) -> None:
    ids = store.unstaged(target).tolist()
    total = store.count(_ALL)
    done = total - len(ids)
    damaged: list[int] = []
    for first in range(0, len(ids), _BATCH):
        part = ids[first : first + _BATCH]
        pairs = store.snapshot(partial(_present, ids=part))
        texts = exact_texts(work.old, [record for record, _ in pairs])
        readable = [
            (record, source, text)
            for (record, source), text in zip(pairs, texts, strict=True)
            if isinstance(text, str) and source.damage is None
        ]
        sound = {record.id for record, _, _ in readable}
        damaged += [record.id for record, _ in pairs if record.id not in sound]
        if readable:
            store.stage(target, _encoded(work, readable))
        done += len(part)
        if on_progress is not None:
            on_progress(min(done, total), total)
    if damaged:
        listed = ", ".join(map(str, damaged[:20])) + (", ..." if len(damaged) > 20 else "")
        raise CorruptRecordError(
            f"{len(damaged)} memories cannot be decoded, so nothing was changed: {listed}; "
            f"restore them from a backup, or forget them, and migrate again, which goes on where "
            f"it was",
            id=damaged[0],
        )


def _present(snapshot: Snapshot, ids: Sequence[int]) -> list[tuple[ChunkRecord, SourceRecord]]:
    """Those of the given chunks that have not been forgotten, with their sources."""
    there = snapshot.matching(ids, _ALL)
    return snapshot.chunks_with_sources([id for id in ids if id in there], keep_damaged=True)


def _encoded(
    work: _Work, chunks: Sequence[tuple[ChunkRecord, SourceRecord, str]]
) -> list[StagedChunk]:
    new = work.new
    before = [preface_ids(preface(source), new.tokenizer) for _, source, _ in chunks]
    if work.options is None:
        rows = [new.tokenizer.encode(text) for _, _, text in chunks]
        embeddings = new.embed(rows, prefaces=before)
        return [
            StagedChunk(record.id, embedding)
            for (record, _, _), embedding in zip(chunks, embeddings, strict=True)
        ]
    pieces = [
        chunk_text(text, new.tokenizer, max_tokens=new.codec.max_tokens) for _, _, text in chunks
    ]
    flat = [(piece, ids) for group, ids in zip(pieces, before, strict=True) for piece in group]
    made = new.encode(
        [piece.ids for piece, _ in flat],
        prefaces=[ids for _, ids in flat],
        quantization=work.options.quantization_of(new),
        min_fidelity=work.options.min_fidelity,
    )
    _require_exact(new, [piece for piece, _ in flat], made)
    encoded = iter(made)
    staged = []
    for (record, _, _), group in zip(chunks, pieces, strict=True):
        parts = tuple(_part(record, piece, next(encoded)) for piece in group)
        staged.append(StagedChunk(record.id, parts[0].embedding, parts))
    return staged


def _require_exact(
    model: MemoryModel, pieces: Sequence[Piece], made: Sequence[EncodedChunk]
) -> None:
    """Decode what is to take the place of stored texts, which exist nowhere else."""
    latents = [
        Latent(one.packed, len(piece.ids), one.patch)
        for piece, one in zip(pieces, made, strict=True)
    ]
    for piece, ids in zip(pieces, model.codec.regenerate(latents), strict=True):
        if model.tokenizer.decode(ids) != piece.text:
            raise ModelError(
                f"bundle {model.name!r} does not decode to the text that it encoded: nothing was "
                f"changed; check it with `agentmem model verify`"
            )


def _part(record: ChunkRecord, piece: Piece, made: EncodedChunk) -> NewChunk:
    return NewChunk(
        start=record.start + piece.start,
        end=record.start + piece.end,
        tokens=len(piece.ids),
        latents=made.packed,
        positions=len(made.latents),
        embedding=made.embedding,
        patch=made.patch,
        fidelity=made.fidelity,
        text_hash=text_hash(piece.text),
        terms=piece.text,
        text=None if record.text is None else piece.text,
    )
