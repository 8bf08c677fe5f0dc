"""Changes what is stored: the work behind `Memory.update` and `Memory.forget`.

Decoding and encoding take long, so both happen before the store is locked. Under the lock it is
checked that nothing they started from was changed by another writer; if it was, they start again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

import numpy as np

from agentmem.context.hits import Chunk
from agentmem.errors import InputError, UnknownIdError
from agentmem.ingest.encode import EncodingOptions, prepare
from agentmem.ingest.external_ids import check_external_id
from agentmem.ingest.identity import content_hash, source_key
from agentmem.ingest.normalize import normalize
from agentmem.maintenance import lexical_terms, rebuild_stale_terms, stored_part
from agentmem.models.base import MemoryModel
from agentmem.results import ForgetReceipt, Receipt, write_receipt
from agentmem.types import Part
from agentmem_storage.errors import ChangedError
from agentmem_storage.numbers import as_int
from agentmem_storage.records import (
    UNSET,
    Scope,
    Selection,
    SourceRecord,
    Unset,
    Written,
)
from agentmem_storage.store import Store
from agentmem_storage.text import shown

# Each retry takes another writer a complete change of the same memories.
_RETRIES = 20
T = TypeVar("T")


def unknown_id(store: Store, scope: Scope, id: int) -> UnknownIdError:
    """The error for an id that a scope does not have; it names what replaced it, if anything.

    Raises:
        CorruptRecordError: there is one, whose row cannot be read.
    """
    if isinstance(id, int):
        store.check_present(id=id)
    if isinstance(id, int) and (became := store.became(id, scope)):
        several = f"the ids {', '.join(map(str, became))}" if len(became) > 1 else f"id {became[0]}"
        message = f"memory {id!r} was replaced when its text was updated, and now has {several}"
        return UnknownIdError(message, became=became)
    return UnknownIdError(f"no memory of this scope has the id {shown(id)}")


def update(
    store: Store,
    model: MemoryModel,
    source_id: int,
    *,
    text: str | None,
    metadata: Mapping[str, Any] | None,
    created_at: datetime | None,
    expires_at: datetime | None | Unset,
    options: EncodingOptions,
    max_chars: int,
) -> Receipt:
    """Give a source a new text, new metadata and a new time, each unless it is None.

    And another time to expire, or None for never, unless it is UNSET.

    Raises:
        InputError: the text cannot be stored, or a document would be equal to another one of the
            scope.
        CorruptRecordError: the row of the source is damaged.
        UnknownIdError: it has been forgotten in the meantime.
        ChangedError: others keep changing it.
    """
    if text is None and created_at is None:
        return _update_fields(store, source_id, UNSET if metadata is None else metadata, expires_at)
    new = None if text is None else normalize(text, max_chars=max_chars).parts[0]
    for _ in range(_RETRIES):
        with suppress(ChangedError):
            return _update(store, model, source_id, new, metadata, created_at, expires_at, options)
    return _update(store, model, source_id, new, metadata, created_at, expires_at, options)


def _update_fields(
    store: Store,
    source_id: int,
    metadata: Mapping[str, Any] | Unset,
    expires_at: datetime | None | Unset,
) -> Receipt:
    changed = store.update_source(source_id, metadata=metadata, expires_at=expires_at)
    return _unchanged(changed)


def _update(
    store: Store,
    model: MemoryModel,
    source_id: int,
    new: Part | None,
    metadata: Mapping[str, Any] | None,
    created_at: datetime | None,
    expires_at: datetime | None | Unset,
    options: EncodingOptions,
) -> Receipt:
    (old,) = store.sources([source_id])
    wanted = old.metadata if metadata is None else metadata
    until = old.expires_at if isinstance(expires_at, Unset) else expires_at
    held = stored_part(store, model, old)
    # Of a damaged or partly forgotten source, the text that is left is not the one that was hashed.
    intact = content_hash(held) == old.content_hash
    if new is None or (held.text == new.text and intact):
        if created_at is not None and created_at != old.created_at:
            part = replace(held, metadata=wanted, created_at=created_at, expires_at=until)
            return _update_time(store, old, part, intact=intact)
        if (wanted, until) != (old.metadata, old.expires_at):
            return _update_fields(store, source_id, wanted, until)
        return _unchanged(old)
    part = replace(held, text=new.text, metadata=wanted, expires_at=until)
    if created_at is not None:
        part = replace(part, created_at=created_at)
    source = prepare([part], model, options=options, now=old.created_at)[0]
    old_terms = lexical_terms(store, model, Selection(ids=old.chunk_ids))
    written = store.replace_source(old.id, source, old_terms, expected=old)
    if written.duplicate:
        raise _held(written)
    rebuild_stale_terms(store, model)
    return write_receipt([written], [source])


def _update_time(store: Store, old: SourceRecord, part: Part, *, intact: bool) -> Receipt:
    """Give a source the times and the metadata of a part; its chunks stay as they are."""
    assert part.created_at is not None
    key = source_key(part) if intact else None
    done = store.redate_source(
        old, part.created_at, metadata=part.metadata, expires_at=part.expires_at, key=key
    )
    if done.duplicate:
        raise _held(done)
    return write_receipt([done], [])


def _unchanged(source: SourceRecord) -> Receipt:
    """The receipt of an update that wrote no chunks."""
    return write_receipt([Written(source.id, source.chunk_ids, duplicate=False)], [])


def _held(written: Written) -> InputError:
    return InputError(
        f"this scope already has that text, in memory {written.chunk_ids[0]}: forget one of the two"
    )


def _named(store: Store, selection: Selection, work: Callable[[], T]) -> T:
    """What work returns; its error for an id that is not there names what replaced it."""
    try:
        return work()
    except UnknownIdError:
        of_scope = Selection(selection.scope, ids=selection.ids, expired=None)
        present = store.ids(of_scope).tolist()
        if missing := sorted(set(selection.ids or ()).difference(present)):
            raise unknown_id(store, selection.scope, missing[0]) from None
        raise


def forget(
    store: Store,
    model: MemoryModel,
    selection: Selection,
    ids: Iterable[int | str] | Unset,
    *,
    dry_run: bool,
) -> ForgetReceipt:
    """Delete the selected memories, those that have expired too.

    Args:
        store: The open store.
        model: Decodes the words that leave the lexical index.
        selection: Which memories; at least one condition beside ``ids``, unless these are given.
        ids: Chunk ids, or external ids, which must all be in the selection's scope; UNSET without
            this condition.
        dry_run: Only report what would be deleted.

    Raises:
        FilterError: the filter is malformed.
        TypeError: ``ids`` are no ids, or none that were meant as such, such as bytes.
        UnknownIdError: an id is not in the scope; nothing was deleted.
        InputError: several scopes have one of the external ids; nothing was deleted.
    """
    if not isinstance(ids, Unset):
        selection = _with_ids(selection, ids)
    selected = _named(store, selection, lambda: store.chosen(selection))
    if dry_run or not selected:
        unknown = () if selected else store.unknown_keys(selection)
        return ForgetReceipt(selected, 0, dry_run, purged=not dry_run, unknown_keys=unknown)
    words: dict[int, str] = {}
    seen: set[int] = set()
    for _ in range(_RETRIES):
        fresh = tuple(one for one in selected if one not in seen)
        words.update(lexical_terms(store, model, Selection(ids=fresh)))
        seen.update(fresh)
        with suppress(ChangedError):
            done = _named(store, selection, lambda: store.forget(selection, words, seen=seen))
            break
        selected = _named(store, selection, lambda: store.chosen(selection))
    else:
        # What is not seen costs a rebuild of the lexical index, but is forgotten too.
        done = _named(store, selection, lambda: store.forget(selection, words))
    rebuild_stale_terms(store, model)
    return ForgetReceipt(done.ids, done.sources, dry_run=False, purged=done.purged)


def collect_garbage(
    store: Store, model: MemoryModel, scope: Scope, *, dry_run: bool
) -> ForgetReceipt:
    """Erase what has expired in a scope, and what killed processes left in any."""
    if not dry_run:
        store.sweep()
    return forget(store, model, Selection(scope, expired=True), UNSET, dry_run=dry_run)


def _with_ids(selection: Selection, ids: object) -> Selection:
    """A selection of those that have some ids, which are of chunks, or if they are texts external.

    What is none is refused, also where its parts happen to be integers.
    """
    if isinstance(ids, Receipt | ForgetReceipt):
        raise TypeError(f"ids must be integers, not a {type(ids).__name__}: pass its .ids")
    if isinstance(ids, Chunk) or (isinstance(ids, int | np.integer) and not isinstance(ids, bool)):
        one = ids.id if isinstance(ids, Chunk) else ids
        raise TypeError(f"ids must be an iterable of integers: for one memory, ids=[{one}]")
    if isinstance(ids, str | bytes | bytearray | memoryview) or not isinstance(ids, Iterable):
        raise TypeError(
            f"ids must be an iterable of integers, such as [12], or of external ids, such as "
            f"['note-12'], not {shown(ids)}"
        )
    given = list(ids)
    named = [check_external_id(one, "ids") or "" for one in given if isinstance(one, str)]
    if not named:
        return replace(selection, ids=tuple({_requested_id(one): None for one in given}))
    if len(named) < len(given):
        raise TypeError(
            f"ids must be all of memories or all external ones, got both: {shown(given)}"
        )
    return replace(selection, external_ids=tuple(dict.fromkeys(named)))


def _requested_id(one: object) -> int:
    if isinstance(one, Chunk):
        raise TypeError(f"an id must be an integer, not a {type(one).__name__}: pass its .id")
    return as_int(one, "an id")
