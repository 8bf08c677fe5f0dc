"""Makes a reader's states of memories ahead of questions: the work behind `Memory.prepare`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import tzinfo

from agentmem.chat.reader import MemoryReader
from agentmem.chat.states_cache import new_states
from agentmem.context.format import reader_line
from agentmem.context.hits import Hit
from agentmem.context.load import load_unscored
from agentmem.errors import CorruptRecordError, InputError
from agentmem.ingest.encode import Progress
from agentmem.models.base import MemoryModel
from agentmem.results import Preparation
from agentmem_storage.records import Selection
from agentmem_storage.store import Store
from agentmem_storage.text import shown

_CHUNKS = 64  # that are looked up at once
_TOKENS = 1024  # that are read in one pass

Line = tuple[Hit, str, int]
"""A chunk, what a reader reads of it, and how many tokens that is."""


def prepare(
    store: Store,
    model: MemoryModel,
    reader: MemoryReader,
    selection: Selection,
    *,
    zone: tzinfo,
    on_progress: Progress | None,
) -> Preparation:
    """Make and keep the states of the selected chunks that have none yet, the newest first.

    Args:
        store: The open store.
        model: Decodes the chunks.
        reader: Makes the states.
        selection: Which chunks.
        zone: The zone of their times, which says on which day something was said.
        on_progress: Called with the number of chunks done so far and the total.

    Raises:
        InputError: the store keeps no states.
        FilterError: the filter is malformed.
        TypeError: ``reader`` is no `MemoryReader`.
    """
    if not isinstance(reader, MemoryReader):
        raise TypeError(
            f"reader must be a MemoryReader, not {shown(reader)}: only one that reads on this "
            f"machine keeps states, MemoryReader.from_pretrained() loads it"
        )
    ids = store.ids(selection)[::-1].tolist()
    if not store.keeps_states:
        raise InputError(
            f"the store at {store.location!r} keeps no states: it is read-only, or was opened with "
            f"cache_bytes=0"
        )
    states = reader.states
    room = states.room("")
    made = present = 0
    damaged: list[int] = []
    for first in range(0, len(ids), _CHUNKS):
        part = ids[first : first + _CHUNKS]
        lines: list[Line] = []
        for chunk in load_unscored(store, model, replace(selection, ids=tuple(part)), zone=zone):
            try:
                line = reader_line(chunk)
            except CorruptRecordError:
                damaged.append(chunk.id)
            else:
                lines.append((chunk, line, states.count_tokens(line)))
        digests = {chunk.id: states.digest(line) for chunk, line, _ in lines}
        held = store.held_states(states.fingerprint, digests)
        present += len(held)
        missing = [one for one in lines[::-1] if one[0].id not in held and one[2] <= room]
        done = first + len(part) - len(missing)
        if on_progress is not None:
            on_progress(done, len(ids))
        for batch in _batches(missing):
            packed = states.make_states([line for _, line, _ in batch])
            new = [
                new_states(chunk, digests[chunk.id], one)
                for (chunk, _, _), one in zip(batch, packed, strict=True)
            ]
            kept = store.keep_states(states.fingerprint, new, evict=False)
            made += len(kept.ids)
            done += len(batch)
            if on_progress is not None:
                on_progress(done, len(ids))
            if kept.full:
                return _result(len(ids), made, present, damaged)
    return _result(len(ids), made, present, damaged)


def _result(total: int, made: int, present: int, damaged: Sequence[int]) -> Preparation:
    left_out = total - made - present - len(damaged)
    return Preparation(made, present, left_out, tuple(sorted(damaged)))


def _batches(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Lines in parts of up to so many tokens, or one line."""
    batch: list[Line] = []
    tokens = 0
    for line in lines:
        if batch and tokens + line[2] > _TOKENS:
            yield batch
            batch, tokens = [], 0
        batch.append(line)
        tokens += line[2]
    if batch:
        yield batch
