"""Writes parts: those that the scope has already are neither encoded nor written again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from agentmem.errors import UnknownIdError
from agentmem.ingest.encode import EncodingOptions, Progress, prepare
from agentmem.ingest.identity import source_key
from agentmem.models.base import MemoryModel
from agentmem.types import Part
from agentmem_storage.errors import ChangedError
from agentmem_storage.records import NewSource, SourceKey, Written
from agentmem_storage.store import Store

# Retries when another writer forgets what was known a moment ago. Each retry takes that writer a
# complete `forget`, so only an inconsistent store uses them all.
_RETRIES = 100


def write_parts(
    store: Store,
    model: MemoryModel,
    parts: Sequence[Part],
    *,
    options: EncodingOptions,
    now: datetime,
    supersedes: int | None = None,
    indexed: Callable[[Sequence[int]], Mapping[int, str]],
    on_progress: Progress | None = None,
) -> tuple[list[Written], list[NewSource]]:
    """Store parts in one transaction.

    Args:
        store: The open store.
        model: Encodes what is new.
        parts: The parts, in order, each with its scope.
        options: How chunks are encoded and stored.
        now: The time of parts that carry none.
        supersedes: Id of the source that the only part supersedes.
        indexed: Returns the indexed text of chunks by id, of those that are replaced.
        on_progress: Called with the number of chunks encoded so far and the total.

    Returns:
        Where each part is stored, and the sources that were written for the new ones.

    Raises:
        ChangedError: others keep changing what is replaced.
    """
    for _ in range(_RETRIES):
        with suppress(UnknownIdError, ChangedError):
            return _write(store, model, parts, options, now, indexed, supersedes, on_progress)
    return _write(store, model, parts, options, now, indexed, supersedes, on_progress)


def _write(
    store: Store,
    model: MemoryModel,
    parts: Sequence[Part],
    options: EncodingOptions,
    now: datetime,
    indexed: Callable[[Sequence[int]], Mapping[int, str]],
    supersedes: int | None,
    on_progress: Progress | None,
) -> tuple[list[Written], list[NewSource]]:
    keys = [source_key(part) for part in parts]
    known: list[Written | None] = [None] * len(parts)
    for scope in dict.fromkeys(part.scope for part in parts):
        indices = [index for index, part in enumerate(parts) if part.scope == scope]
        found = store.find([keys[index] for index in indices], scope, alone=len(parts) == 1)
        for index, one in zip(indices, found, strict=True):
            known[index] = one
    fresh = [part for part, one in zip(parts, known, strict=True) if _is_new(one)]
    settled = [one for one in known if one is not None and not one.prolonged]
    if not any(part.external_id for part in parts) and len(settled) == len(parts):
        if supersedes is not None:
            store.supersede(supersedes, settled[0].source_id)
        return settled, []
    sources = iter(prepare(fresh, model, options=options, now=now, on_progress=on_progress))
    new: list[NewSource | SourceKey] = [
        next(sources) if _is_new(one) else key for key, one in zip(keys, known, strict=True)
    ]
    replaced = [id for one in known if one is not None and one.replaced for id in one.chunk_ids]
    old_terms = indexed(replaced) if replaced else {}
    words: dict[int, str | None] = dict.fromkeys(replaced) | dict(old_terms)
    scopes = [part.scope for part in parts]
    written = store.add(new, scopes, words, supersedes=supersedes)
    pairs = zip(new, written, strict=True)
    return written, [
        one for one, done in pairs if isinstance(one, NewSource) and not done.duplicate
    ]


def _is_new(known: Written | None) -> bool:
    """Whether a part has to be encoded."""
    return known is None or known.replaced
