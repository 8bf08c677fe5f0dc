"""Finds memories that contradict earlier ones when they are added.

A short statement is compared with the nearest of the same speaker's memories; the rules are in
`agentmem.statements`. What is found is a candidate: it is shown, it decides the order of a recall
about now or before, and it deletes nothing; see `agentmem.Memory.conflicts`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from agentmem.context.decode import exact_texts
from agentmem.errors import StoreError
from agentmem.models.base import MemoryModel
from agentmem.statements.compare import contradiction, stands_out
from agentmem.statements.read import Statement, read_statement
from agentmem.types import Part
from agentmem_storage.records import Link, NewSource, Said, Scope, Selection, Written
from agentmem_storage.snapshot import Snapshot
from agentmem_storage.store import Store

_log = logging.getLogger(__name__)

# How many of the nearest memories are compared, and among how many the nearest has to stand out.
_COMPARED = 6
_POOL = 64
_FEWEST = 8
# Tokens. A memory with more is no short statement.
_MOST_TOKENS = 64


class _Earlier(NamedTuple):
    """A memory near a new one.

    Attributes:
        id: Its chunk.
        said: When, and by whom.
        cosine: How near it is, above the median of the pool.
    """

    id: int
    said: Said
    cosine: float


@dataclass(frozen=True, slots=True)
class _New:
    """A statement that was added."""

    id: int
    source_id: int
    statement: Statement
    source: NewSource
    scope: Scope


def propose_links(
    store: Store,
    model: MemoryModel,
    parts: Sequence[Part],
    written: Sequence[Written],
    new: Sequence[NewSource],
) -> list[Link]:
    """Write, as candidates, which memories seem to supersede others.

    What was added stays whatever happens here: a store that cannot be read or written now is only
    logged.

    Args:
        store: The open store.
        model: Decodes what is compared.
        parts: What was added.
        written: Where each part is stored.
        new: Those that were newly written.

    Returns:
        The candidates.
    """
    statements = list(_statements(parts, written, new))
    if not statements:
        return []
    known: dict[int, Statement | None] = {one.id: one.statement for one in statements}
    try:
        found = store.snapshot(lambda snapshot: _found(snapshot, model, statements, known))
        return store.propose(found)
    except StoreError as error:
        _log.warning("what was added was not compared with earlier memories: %s", error)
        return []


def _statements(
    parts: Sequence[Part], written: Sequence[Written], new: Sequence[NewSource]
) -> Iterator[_New]:
    fresh = iter(new)
    for part, one in zip(parts, written, strict=True):
        if one.duplicate:
            continue
        source = next(fresh)
        if part.kind == "message" and len(one.chunk_ids) == 1:
            statement = read_statement(part.text)
            if statement is not None:
                yield _New(one.chunk_ids[0], one.source_id, statement, source, part.scope)


def _found(
    snapshot: Snapshot,
    model: MemoryModel,
    new: Sequence[_New],
    known: dict[int, Statement | None],
) -> list[tuple[int, int, float]]:
    """Old source, new source and score of each pair that contradicts."""
    pairs: dict[tuple[int, int], float] = {}
    sources = {one.id: one.source_id for one in new}
    for one in new:
        near = _near(snapshot, one)
        _read(snapshot, model, [other.id for other in near[:_COMPARED]], known, sources)
        nearest = stands_out([other.cosine for other in near]) if len(near) >= _FEWEST else False
        own = snapshot.said([one.id])[one.id].created_at, one.id
        for place, other in enumerate(near[:_COMPARED]):
            statement = known[other.id]
            if statement is None:
                continue
            earlier = (other.said.created_at, other.id) < own
            old, later = (other.id, one.id) if earlier else (one.id, other.id)
            by_id = {other.id: statement, one.id: one.statement}
            score = contradiction(by_id[old], by_id[later], nearest=nearest and not place)
            if score:
                pairs[sources[old], sources[later]] = score
    return [(old, later, score) for (old, later), score in pairs.items()]


def _near(snapshot: Snapshot, one: _New) -> list[_Earlier]:
    """The nearest memories that the same speaker said to the same agent, nearest first."""
    selection = Selection(Scope(one.scope.user_id, one.scope.agent_id))
    ranked = snapshot.search_vectors(one.source.chunks[0].embedding, _POOL, selection)
    said = snapshot.said([one.id, *ranked.ids.tolist()])
    own = said[one.id]
    median = float(np.median(ranked.scores)) if len(ranked.scores) else 0.0
    return [
        _Earlier(id, said[id], score - median)
        for id, score in zip(ranked.ids.tolist(), ranked.scores.tolist(), strict=True)
        if id != one.id and _speaker(said[id]) == _speaker(own)
    ]


def _speaker(said: Said) -> tuple[str | None, ...]:
    return said.kind, said.role, said.name, said.user_id, said.agent_id


def _read(
    snapshot: Snapshot,
    model: MemoryModel,
    ids: Sequence[int],
    known: dict[int, Statement | None],
    sources: dict[int, int],
) -> None:
    """Read the statements of chunks that are not known yet."""
    missing = [id for id in ids if id not in known]
    records = snapshot.chunks(missing, keep_damaged=True)
    known.update(dict.fromkeys(missing))
    short = [one for one in records if one.tokens <= _MOST_TOKENS and not one.ordinal]
    for record, text in zip(short, exact_texts(model, short), strict=True):
        sources[record.id] = record.source_id
        if isinstance(text, str):
            known[record.id] = read_statement(text)
