"""One query: candidates by words and by meaning, fused and ranked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agentmem.models.base import MemoryModel
from agentmem.retrieval.dates import Interval, named_interval
from agentmem.retrieval.expand import Beside, expand, neighbours, visible
from agentmem.retrieval.fusion import (
    FALLING,
    Scored,
    Weights,
    fuse,
    normalise_keys,
    normalise_lexical,
)
from agentmem.retrieval.query import Asked
from agentmem.retrieval.rerank import rerank
from agentmem_storage.records import Ranked, Selection
from agentmem_storage.store import Store

_WEIGHTS = {
    "hybrid": Weights(),
    "keys": Weights(lexical=0.0, key=1.0, neighbour=0.0, length=0.0, time=0.0),
    "lexical": Weights(lexical=1.0, key=0.0, neighbour=0.0, length=0.0, time=0.0),
}
# Candidates of each search: enough that the neighbours of a good hit are known too.
_LEAST_CANDIDATES = 64


@dataclass(frozen=True, slots=True)
class Found:
    """Ranked ids, before anything of them is read.

    Attributes:
        chosen: The best ``k``, each followed by what it brings, with the id of what brought it.
        candidates: How many chunks the scope, filters and times let through to the search.
    """

    chosen: list[tuple[Scored, int | None]]
    candidates: int


def search(store: Store, model: MemoryModel, asked: Asked) -> Found:
    """Rank the chunks of a selection by how well they fit a query, and expand the best ``k``.

    Args:
        store: Where they are.
        model: What makes the query's key, and reranks.
        asked: A query that has been checked.

    Raises:
        UnknownIdError: a chunk has been forgotten meanwhile.
        FilterError: the selection's filter has a wrong shape.
    """
    weights, allowed = _WEIGHTS[asked.mode], store.count(asked.selection)
    wide = max(_LEAST_CANDIDATES, 4 * min(asked.k, allowed))
    interval = named_interval(asked.query, asked.now) if weights.time else None
    parts = [asked.selection]
    if interval is not None:
        # What was said then may be far from the best of all by words and by meaning.
        parts.append(_during(asked.selection, interval))
    lexical: dict[int, float] = {}
    keys: dict[int, float] = {}
    if weights.lexical:
        lexical = _by_words(store, asked.query, wide, parts)
    if weights.key:
        key = model.embedder.embed_query(model.tokenizer.encode(asked.query))
        keys = _by_key(store, key, wide, parts, known=set(lexical))
    candidates = {*lexical, *keys}
    beside = Beside({}, {})
    if weights.neighbour:
        beside = neighbours(store, candidates, asked.selection, reach=len(FALLING))
    ids = candidates.union(*(visible(side) for pair in beside.sides.values() for side in pair))
    in_time = None
    if interval is not None:
        during = _during(Selection(ids=tuple(sorted(ids))), interval)
        in_time = set(store.ids(during).tolist())
    scored = fuse(lexical, keys, beside.sides, weights, lengths=beside.tokens, in_time=in_time)
    if model.reranker is not None and _reranks(asked):
        query = model.tokenizer.encode(asked.query)
        time_share = 0.0 if in_time is None else weights.time / (weights.top + weights.time)
        share = weights.rerank / weights.top
        scored = rerank(
            store,
            model.reranker,
            model.tokenizer,
            query,
            scored,
            asked.selection,
            share,
            time_share,
        )
    return Found(list(_with_brought(store, scored, asked)), allowed)


def _reranks(asked: Asked) -> bool:
    """Whether a query wants reranking: by default in hybrid mode only."""
    if asked.rerank == "auto":
        return asked.mode == "hybrid"
    return asked.rerank is not None


def _by_words(store: Store, query: str, wide: int, parts: Sequence[Selection]) -> dict[int, float]:
    """The best of each part by words, normalised together."""
    return normalise_lexical(_union([store.search_terms(query, wide, part) for part in parts]))


def _by_key(
    store: Store,
    key: NDArray[np.float32],
    wide: int,
    parts: Sequence[Selection],
    *,
    known: set[int],
) -> dict[int, float]:
    """The nearest of each part, normalised together; what lies below the last of them has zero.

    Among all of a selection that is everything which is not among the nearest. Beside the nearest
    of a time too, what the words found may lie between the two, and is looked at.
    """
    near = _union([store.search_keys(key, wide, part) for part in parts])
    keys = normalise_keys(near)
    others = tuple(sorted(known - keys.keys()))
    if len(parts) == 1 or not others or not keys:
        return keys
    rest = store.search_keys(key, len(others), Selection(ids=others))
    low, high = float(near.scores.min()), float(near.scores.max())
    for id, score in zip(rest.ids.tolist(), rest.scores.tolist(), strict=True):
        keys[id] = max(0.0, (score - low) / (high - low)) if high - low > 1e-6 else 0.0
    return keys


def _union(found: Sequence[Ranked]) -> Ranked:
    """Results of one query as one; what two of them have has the same score in both."""
    return Ranked(
        ids=np.concatenate([one.ids for one in found]),
        scores=np.concatenate([one.scores for one in found]),
    )


def _during(selection: Selection, interval: Interval) -> Selection:
    """The part of a selection that was said in an interval."""
    since = [one for one in (selection.since, interval.since) if one is not None]
    until = [one for one in (selection.until, interval.until) if one is not None]
    return replace(selection, since=max(since, default=None), until=min(until, default=None))


def _with_brought(
    store: Store, scored: list[Scored], asked: Asked
) -> Iterator[tuple[Scored, int | None]]:
    """The best ``k``, each followed by what it brings, with the id of what brought it."""
    best = scored[: asked.k]
    brought = {}
    if asked.expand is not None:
        brought = expand(store, [item.id for item in best], asked.expand, asked.selection)
    known = {item.id: item for item in scored}
    for item in best:
        yield item, None
        for id in brought.get(item.id, ()):
            yield known.get(id) or Scored(id), item.id
