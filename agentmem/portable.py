"""Archives: memories to a file, and from a file into a store; the work behind `Memory.load`.

A file is read twice. First to its end, so that a damaged one, or one with memories that this handle
may not write, changes nothing. Then batch by batch, each in one transaction: its latents are
decoded and compared with the hashes of the texts, which also gives the words for the lexical index.
What is interrupted goes on when the file is loaded again.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, TypeVar, cast, get_args

import numpy as np

from agentmem.errors import (
    CorruptRecordError,
    IncompatibleModelError,
    InputError,
    UnknownIdError,
)
from agentmem.ingest.encode import Progress
from agentmem.ingest.identity import preface, preface_ids, terms, text_hash, timeless
from agentmem.maintenance import content_matches
from agentmem.models.base import Latent, MemoryModel
from agentmem.results import ExportReceipt, LoadReceipt
from agentmem.types import Role
from agentmem_storage.archive.errors import damaged
from agentmem_storage.archive.file import ArchiveReader, archive_label, archive_path
from agentmem_storage.archive.loading import Loaded, Loading, Ready
from agentmem_storage.archive.records import ArchivedLink, ArchivedSource, Manifest
from agentmem_storage.interruptions import is_interruption
from agentmem_storage.metadata import read_metadata
from agentmem_storage.records import ChunkRecord, Scope, Selection, SourceKind, SourceRecord
from agentmem_storage.store import Store
from agentmem_storage.timestamps import from_micros

# Chunks of one transaction; a longer document has one of its own.
_BATCH = 256
# Each retry takes another writer a complete `forget`.
_RETRIES = 100
T = TypeVar("T")


def export_file(
    store: Store,
    model: MemoryModel,
    path: str | os.PathLike[str],
    selection: Selection,
    *,
    without: Selection | None,
    passphrase: str | None,
    on_progress: Progress | None,
) -> ExportReceipt:
    """Write memories to a file; see `agentmem.Memory.export`."""
    made = store.export(
        path,
        selection,
        without=without,
        latents=model.codec.fingerprint,
        embedder=model.embedder.name,
        passphrase=passphrase,
        on_progress=on_progress,
    )
    return ExportReceipt(made.path, made.chunks, made.sources, made.file_bytes)


def check_file(source: str | os.PathLike[str], *, passphrase: str | None) -> None:
    """Check that a file can be read to its end, without a store.

    Raises:
        ArchiveError: it is no archive, is damaged, or the passphrase is missing or wrong.
        InputError: it cannot be read.
    """
    place = archive_path(source)
    with _readable(str(place)), ArchiveReader.open(place, passphrase) as archive:
        for _ in archive.records():
            pass


def load_file(
    store: Store,
    model: MemoryModel,
    source: str | os.PathLike[str] | BinaryIO,
    *,
    admit: Callable[[Scope], None],
    max_chars: int,
    passphrase: str | None,
    on_progress: Progress | None,
) -> LoadReceipt:
    """Add the memories of a file to a store; see `agentmem.Memory.load`.

    Args:
        store: The open store.
        model: The model that it is bound to.
        source: The file: its path, or an open one.
        admit: Raises InputError for a scope that may not be written.
        max_chars: The longest source that is accepted, in code points.
        passphrase: Of an encrypted file.
        on_progress: Called with the number of chunks done so far and the total.
    """
    place = _place(source)
    label = archive_label(place)
    with _readable(label), ArchiveReader.open(place, passphrase) as archive:
        reader = _Loader(store, model, archive.manifest, label)
        links: list[ArchivedLink] = []
        for record in archive.records():
            if isinstance(record, ArchivedLink):
                links.append(record)
            else:
                reader.check(record, admit, max_chars)
        linked = {end for link in links for end in (link.old, link.new)}
        ids: dict[int, int] = {}
        done = Loading()
        sources = memories = duplicates = seen = 0
        for first, batch in _batches(archive.records()):
            try:
                loaded = reader.load(batch, done)
            except BaseException as error:
                if sources:
                    error.add_note(
                        f"{sources:,} messages and documents of {label!r} are stored; loading "
                        f"it again adds the rest"
                    )
                raise
            ids |= {at: id for at, id in enumerate(loaded.ids, first) if at in linked}
            sources, memories = sources + loaded.sources, memories + loaded.chunks
            duplicates += loaded.duplicates
            seen += sum(len(source.chunks) for source in batch)
            if on_progress is not None:
                on_progress(seen, archive.manifest.chunks)
        if links:
            store.load_links(
                (ids[link.old], ids[link.new], link.score, link.linked_at) for link in links
            )
    return LoadReceipt(memories, sources, duplicates, reembedded=reader.reembeds and memories > 0)


class _Loader:
    """Checks the sources of one file, and writes them."""

    def __init__(self, store: Store, model: MemoryModel, manifest: Manifest, label: str) -> None:
        self._store, self._model = store, model
        self._dims, self._label = manifest.dims, label
        if manifest.latents != model.codec.fingerprint:
            raise IncompatibleModelError(
                f"the memories in {label!r} were encoded by a bundle with latents "
                f"{manifest.latents!r:.200}, and this store's bundle {model.name!r} has "
                f"{model.codec.fingerprint!r}: load the file into a new store that is opened with "
                f"the bundle it was written with, as in Memory(path, model=...)"
            )
        self.reembeds = manifest.model != store.model

    def check(self, source: ArchivedSource, admit: Callable[[Scope], None], max_chars: int) -> None:
        """Check everything but what the latents decode to.

        Raises:
            ArchiveError: it cannot have been written by an export.
            InputError: it may not be stored here.
        """
        self._records(source)
        longest = max(chunk.tokens for chunk in source.chunks)
        if source.role not in (None, *get_args(Role)) or longest > self._model.codec.max_tokens:
            raise damaged(self._label, "it has a role or a length that no export writes")
        if source.chars > max_chars:
            raise InputError(
                f"{self._label!r} has a text of {source.chars:,} characters, more than the "
                f"{max_chars:,} that this store accepts: open it with Memory(..., max_chars=...)"
            )
        admit(_scope(source))

    def load(self, batch: Sequence[ArchivedSource], done: Loading) -> Loaded:
        """Write those sources of a batch that the store does not have, all or none.

        Raises:
            ArchiveError: latents do not decode to the text that was hashed.
        """
        for _ in range(_RETRIES):
            with suppress(UnknownIdError):
                return self._load(batch, done)
        return self._load(batch, done)

    def _load(self, batch: Sequence[ArchivedSource], done: Loading) -> Loaded:
        plain = [_record(source) for source in batch]
        ready = [Ready(source, timeless(one)) for source, one in zip(batch, plain, strict=True)]
        known = self._store.find_archived(ready, done)
        for at, had in enumerate(known):
            if not had:
                ready[at] = self._decoded(ready[at], plain[at])
        return self._store.load(ready, done)

    def _decoded(self, ready: Ready, source: SourceRecord) -> Ready:
        """A source with the words to index, and new embeddings if another embedder made those."""
        records = self._records(ready.source)
        ids = [one for part in _parts(records) for one in self._token_ids(part)]
        texts = [self._model.tokenizer.decode(one) for one in ids]
        if any(
            text_hash(text) != record.text_hash or len(text) != record.end - record.start
            for text, record in zip(texts, records, strict=True)
        ) or not content_matches(source, "".join(texts)):
            raise damaged(self._label, "what a memory decodes to does not match its hash")
        embeddings = None
        if self.reembeds:
            before = preface_ids(preface(source), self._model.tokenizer)
            embeddings = np.concatenate(
                [
                    self._model.embedder.embed_documents([[*before, *one] for one in part])
                    for part in _parts(ids)
                ]
            )
        words = tuple(terms(text, source) for text in texts)
        return replace(ready, terms=words, embeddings=embeddings)

    def _token_ids(self, records: Sequence[ChunkRecord]) -> list[list[int]]:
        try:
            for one in records:
                if len(self._model.codec.unpack(one.latents, one.tokens)) != one.positions:
                    raise ValueError("another number of memory vectors than the row says")
            return self._model.codec.regenerate(
                [Latent(one.latents, one.tokens, one.patch) for one in records]
            )
        except ValueError as error:
            raise damaged(self._label, f"latents cannot be decoded: {error}") from None

    def _records(self, source: ArchivedSource) -> list[ChunkRecord]:
        try:
            return self._store.archived_records(source, self._dims)
        except (InputError, CorruptRecordError) as error:
            raise damaged(self._label, str(error)) from None


def _batches(
    records: Iterable[ArchivedSource | ArchivedLink],
) -> Iterator[tuple[int, list[ArchivedSource]]]:
    """Whole sources, as many as have some `_BATCH` chunks, and the place of the first of them."""
    batch: list[ArchivedSource] = []
    size = first = 0
    for record in records:
        if isinstance(record, ArchivedLink):
            continue
        batch.append(record)
        size += len(record.chunks)
        if size >= _BATCH:
            yield first, batch
            first, batch, size = first + len(batch), [], 0
    if batch:
        yield first, batch


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for first in range(0, len(items), _BATCH):
        yield items[first : first + _BATCH]


def _scope(source: ArchivedSource) -> Scope:
    return Scope(source.user_id, source.agent_id, source.session_id)


def _record(source: ArchivedSource) -> SourceRecord:
    """A source of a file, already checked, as one of a store; it has no ids yet."""
    return SourceRecord(
        id=0,
        scope=_scope(source),
        kind=cast("SourceKind", source.kind),
        role=source.role,
        name=source.name,
        title=source.title,
        uri=source.uri,
        created_at=from_micros(source.created_at),
        added_at=from_micros(source.added_at),
        chars=source.chars,
        chunk_ids=(0,) * len(source.chunks),
        metadata=read_metadata(source.metadata),
        content_hash=source.content_hash,
        changed=source.changed,
        external_id=source.external_id,
        expires_at=None if source.expires_at is None else from_micros(source.expires_at),
    )


def _place(source: str | os.PathLike[str] | BinaryIO) -> Path | BinaryIO:
    if hasattr(source, "seek"):
        file = cast("BinaryIO", source)
        if getattr(file, "closed", False):
            raise InputError("the file that was given is closed")
        if isinstance(file, io.TextIOBase):
            raise TypeError("the file that was given is open for text: open it with mode 'rb'")
        return file
    return archive_path(source)


@contextmanager
def _readable(label: str) -> Iterator[None]:
    """Say of a file that cannot be read that it is the caller's.

    Raises:
        InputError: it cannot be read.
    """
    try:
        yield
    except OSError as error:
        if is_interruption(error):
            raise
        raise InputError(f"cannot read {label!r}: {error.strerror}") from error
