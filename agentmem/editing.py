"""Changes what is stored: the work behind `Memory.update` and `Memory.forget`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from agentmem.context.hits import Chunk
from agentmem.errors import InputError, UnknownIdError
from agentmem.ingest.encode import EncodingOptions, prepare
from agentmem.ingest.identity import content_hash
from agentmem.ingest.normalize import normalize
from agentmem.maintenance import lexical_terms, rebuild_stale_terms, stored_part
from agentmem.models.base import MemoryModel
from agentmem.results import ForgetReceipt, Receipt, write_receipt
from agentmem_storage.numbers import as_int
from agentmem_storage.records import Scope, Selection, Unset, Written
from agentmem_storage.store import Store
from agentmem_storage.text import shown


def unknown_id(store: Store, scope: Scope, id: int) -> UnknownIdError:
    """The error for an id that a scope does not have; it names what replaced it, if anything."""
    if isinstance(id, int) and (became := store.became(id, scope)):
        several = f"the ids {', '.join(map(str, became))}" if len(became) > 1 else f"id {became[0]}"
        message = f"memory {id!r} was replaced when its text was updated, and now has {several}"
        return UnknownIdError(message, became=became)
    return UnknownIdError(f"no memory of this scope has the id {shown(id)}")


def replace_metadata(store: Store, chunk: Chunk, metadata: Mapping[str, Any]) -> Receipt:
    """Give the source of a chunk new metadata."""
    source = chunk.source
    store.update_source(source.id, metadata=metadata)
    return write_receipt([Written(source.id, source.chunk_ids, duplicate=False)], [])


def replace_text(
    store: Store,
    model: MemoryModel,
    chunk: Chunk,
    text: str,
    metadata: Mapping[str, Any],
    *,
    options: EncodingOptions,
    max_chars: int,
) -> Receipt:
    """Give the source of a chunk a new text, and metadata.

    Raises:
        InputError: the text cannot be stored, or it would make a document equal to another one of
            the scope.
    """
    old = chunk.source
    (new,) = normalize(text, max_chars=max_chars).parts
    held = stored_part(store, model, old)
    # Of a damaged source, the text that is left is not the one that was hashed.
    if held.text == new.text and content_hash(held) == old.content_hash:
        if metadata != old.metadata:
            return replace_metadata(store, chunk, metadata)
        return write_receipt([Written(old.id, old.chunk_ids, duplicate=False)], [])
    part = replace(held, text=new.text, metadata=metadata)
    source = prepare([part], model, options=options, now=old.created_at)[0]
    old_terms = lexical_terms(store, model, Selection(ids=old.chunk_ids))
    written = store.replace_source(old.id, source, old_terms)
    if written.duplicate:
        raise InputError(
            f"this scope already has that text, in memory {written.chunk_ids[0]}: "
            f"forget one of the two"
        )
    rebuild_stale_terms(store, model)
    return write_receipt([written], [source])


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
    selected = tuple(store.ids(selection).tolist())
    if selection.ids is not None:
        present = store.ids(Selection(selection.scope, ids=selection.ids)).tolist()
        missing = sorted(set(selection.ids).difference(present))
        if missing:
            raise unknown_id(store, selection.scope, missing[0])
    if dry_run or not selected:
        unknown = () if selected else store.unknown_keys(selection)
        return ForgetReceipt(selected, 0, dry_run, purged=not dry_run, unknown_keys=unknown)
    done = store.forget(selected, lexical_terms(store, model, Selection(ids=selected)))
    rebuild_stale_terms(store, model)
    return ForgetReceipt(selected, done.sources, dry_run=False, purged=done.purged)
