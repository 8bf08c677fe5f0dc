"""Changes what is stored: the work behind `Memory.update` and `Memory.forget`.

Decoding and encoding take long, so both happen before the store is locked. Under the lock it is
checked that nothing they started from was changed by another writer; if it was, they start again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from agentmem.errors import InputError, UnknownIdError
from agentmem.ingest.encode import EncodingOptions, prepare
from agentmem.ingest.identity import content_hash
from agentmem.ingest.normalize import normalize
from agentmem.maintenance import lexical_terms, rebuild_stale_terms, stored_part
from agentmem.models.base import MemoryModel
from agentmem.results import ForgetReceipt, Receipt, write_receipt
from agentmem.types import Part
from agentmem_storage.errors import ChangedError
from agentmem_storage.numbers import as_int
from agentmem_storage.records import Scope, Selection, Unset, Written
from agentmem_storage.store import Store
from agentmem_storage.text import shown

# Each retry takes another writer a complete change of the same memories.
_RETRIES = 20
T = TypeVar("T")


def unknown_id(store: Store, scope: Scope, id: int) -> UnknownIdError:
    """The error for an id that a scope does not have; it names what replaced it, if anything."""
    if isinstance(id, int) and (became := store.became(id, scope)):
        several = f"the ids {', '.join(map(str, became))}" if len(became) > 1 else f"id {became[0]}"
        message = f"memory {id!r} was replaced when its text was updated, and now has {several}"
        return UnknownIdError(message, became=became)
    return UnknownIdError(f"no memory of this scope has the id {shown(id)}")


def update_metadata(store: Store, source_id: int, metadata: Mapping[str, Any]) -> Receipt:
    """Give a source new metadata."""
    source = store.update_source(source_id, metadata=metadata)
    return write_receipt([Written(source.id, source.chunk_ids, duplicate=False)], [])


def update_text(
    store: Store,
    model: MemoryModel,
    source_id: int,
    text: str,
    metadata: Mapping[str, Any] | None,
    *,
    options: EncodingOptions,
    max_chars: int,
) -> Receipt:
    """Give a source a new text, and new metadata unless they are None.

    Raises:
        InputError: the text cannot be stored, or it would make a document equal to another one of
            the scope.
        CorruptRecordError: the row of the source is damaged.
        UnknownIdError: it has been forgotten in the meantime.
        ChangedError: others keep changing it.
    """
    (new,) = normalize(text, max_chars=max_chars).parts
    for _ in range(_RETRIES):
        with suppress(ChangedError):
            return _update_text(store, model, source_id, new, metadata, options)
    return _update_text(store, model, source_id, new, metadata, options)


def _update_text(
    store: Store,
    model: MemoryModel,
    source_id: int,
    new: Part,
    metadata: Mapping[str, Any] | None,
    options: EncodingOptions,
) -> Receipt:
    (old,) = store.sources([source_id])
    wanted = old.metadata if metadata is None else metadata
    held = stored_part(store, model, old)
    # Of a damaged source, the text that is left is not the one that was hashed.
    if held.text == new.text and content_hash(held) == old.content_hash:
        if wanted != old.metadata:
            return update_metadata(store, source_id, wanted)
        return write_receipt([Written(old.id, old.chunk_ids, duplicate=False)], [])
    part = replace(held, text=new.text, metadata=wanted)
    source = prepare([part], model, options=options, now=old.created_at)[0]
    old_terms = lexical_terms(store, model, Selection(ids=old.chunk_ids))
    written = store.replace_source(old.id, source, old_terms, expected=old)
    if written.duplicate:
        raise InputError(
            f"this scope already has that text, in memory {written.chunk_ids[0]}: "
            f"forget one of the two"
        )
    rebuild_stale_terms(store, model)
    return write_receipt([written], [source])


def _named(store: Store, selection: Selection, work: Callable[[], T]) -> T:
    """What work returns; its error for an id that is not there names what replaced it."""
    try:
        return work()
    except UnknownIdError:
        present = store.ids(Selection(selection.scope, ids=selection.ids)).tolist()
        if missing := sorted(set(selection.ids or ()).difference(present)):
            raise unknown_id(store, selection.scope, missing[0]) from None
        raise


def forget(
    store: Store,
    model: MemoryModel,
    selection: Selection,
    ids: Iterable[int] | Unset,
    *,
    dry_run: bool,
) -> ForgetReceipt:
    """Delete the selected memories.

    Args:
        store: The open store.
        model: Decodes the words that leave the lexical index.
        selection: Which memories; at least one condition beside ``ids``, unless these are given.
        ids: Chunk ids, which must all be in the selection's scope; UNSET without this condition.
        dry_run: Only report what would be deleted.

    Raises:
        FilterError: the filter is malformed.
        UnknownIdError: an id is not in the scope; nothing was deleted.
    """
    if not isinstance(ids, Unset):
        requested = tuple({as_int(one, "an id"): None for one in ids})
        selection = replace(selection, ids=requested)
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
