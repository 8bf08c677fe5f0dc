"""Search: candidates by words and by vectors, fused, reranked and expanded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentmem.models.base import MemoryModel
from agentmem.retrieval.dates import Interval, named_interval
from agentmem.retrieval.expand import Neighborhood, expand, find_neighbors, present
from agentmem.retrieval.focus import embed_query, focused
from agentmem.retrieval.fusion import (
    NEIGHBOR_DECAY,
    Scored,
    Weights,
    fuse,
    normalize_bm25,
    normalize_cosines,
)
from agentmem.retrieval.query import RecallQuery
from agentmem.retrieval.relevance import COMPARED, Comparison, Relevance
from agentmem.retrieval.repeats import Group, group_repeats, search_distinct
from agentmem.retrieval.rerank import rerank
from agentmem_storage.records import Ranked, Selection
from agentmem_storage.store import Store

_WEIGHTS = {
    "hybrid": Weights(),
    "vector": Weights(lexical=0.0, vector=1.0, neighbor=0.0, length=0.0, time=0.0),
    "lexical": Weights(lexical=1.0, vector=0.0, neighbor=0.0, length=0.0, time=0.0),
}
# Candidates per search: enough that the neighbors of a good hit are usually candidates too.
_MIN_CANDIDATES = 64


class Found(NamedTuple):
    """A ranked chunk, before its row is loaded.

    Attributes:
        item: Its id and score.
        expanded_from: The id of the chunk that added it; None if the search found it.
        repeats: Ids and times of the candidates that repeat it.
    """

    item: Scored
    expanded_from: int | None = None
    repeats: tuple[tuple[int, datetime], ...] = ()


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Ranked ids, before any row is loaded.

    Attributes:
        ranked: The best ``k``, each followed by the chunks it adds.
        candidates: How many chunks matched the scope, filters and times.
        relevance: Of each of the ranked, 0 to 1, by id; see `agentmem.retrieval.relevance`.
        recall_relevance: How likely any of the candidates answers the query, 0 to 1.
    """

    ranked: list[Found]
    candidates: int
    relevance: dict[int, float]
    recall_relevance: float


def search(store: Store, model: MemoryModel, query: RecallQuery) -> SearchResult:
    """Rank the chunks of a selection by how well they match a query, and expand the best ``k``.

    Args:
        store: The open store.
        model: Embeds the query and reranks the candidates.
        query: A validated query.

    Raises:
        UnknownIdError: a chunk has been forgotten in the meantime.
        FilterError: the filter is malformed.
    """
    weights, allowed = _WEIGHTS[query.mode], store.count(query.selection)
    limit = max(_MIN_CANDIDATES, 4 * min(query.k, allowed))
    text = focused(query.text, model.tokenizer)
    ids_of_query = model.tokenizer.encode(text)
    interval = named_interval(text, query.now) if weights.time else None
    selections = [query.selection]
    if interval is not None:
        # Memories of that time may rank far below the best by words and vectors: search them
        # separately too.
        selections.append(_during(query.selection, interval))
    lexical: dict[int, float] = {}
    cosines: dict[int, float] = {}
    embedding: NDArray[np.float32] | None = None
    exact: dict[int, float] = {}
    if weights.lexical:
        lexical = _search_lexical(store, text, limit, selections)
    if weights.vector:
        embedding = embed_query(model.embedder, ids_of_query, model.codec.max_tokens)
        nearest = _nearest(store, embedding, limit, selections)
        exact = dict(zip(nearest.ids.tolist(), nearest.scores.tolist(), strict=True))
        cosines = _normalized(store, embedding, nearest, selections, known=set(lexical))
    candidates = {*lexical, *cosines}
    neighborhood = Neighborhood({}, {})
    if weights.neighbor:
        reach = len(NEIGHBOR_DECAY)
        neighborhood = find_neighbors(store, candidates, query.selection, reach=reach)
    sides = neighborhood.sides
    ids = candidates.union(*(present(side) for pair in sides.values() for side in pair))
    in_interval = None
    if interval is not None:
        during = _during(Selection(ids=tuple(sorted(ids))), interval)
        in_interval = set(store.ids(during).tolist())
    scored = fuse(
        lexical, cosines, sides, weights, lengths=neighborhood.tokens, in_interval=in_interval
    )
    fits = len(ids_of_query) <= model.codec.max_tokens
    if model.reranker is not None and _reranks(query, fits and len(text.split()) > 1):
        time_share = 0.0 if in_interval is None else weights.time / (weights.top + weights.time)
        weight = weights.rerank / weights.top
        scored = rerank(
            store,
            model.reranker,
            model.tokenizer,
            ids_of_query,
            scored,
            query.selection,
            weight,
            time_share,
        )
    groups = group_repeats(store, scored)
    best, compared = groups[: query.k], groups[: max(query.k, COMPARED)]
    comparison = Comparison(store, model, text, query.selection.scope, embedding, exact)
    relevance = Relevance(comparison, [group.item.id for group in compared])
    if query.min_relevance is not None:
        known_relevance = relevance.of_hits([group.item.id for group in best])
        best = [one for one in best if known_relevance[one.item.id] >= query.min_relevance]
    ranked = list(_expanded(store, best, scored, query))
    return SearchResult(
        ranked,
        allowed,
        relevance.of_hits([found.item.id for found in ranked]),
        relevance.of_recall,
    )


def _reranks(query: RecallQuery, suitable: bool) -> bool:
    """By default, unless a single kind of search was requested, or the query does not suit it.

    A reranker reads only the beginning of a long query, which may be anything. It was trained on
    questions: of a single word it knows less than the search, which finds the memories with it.
    """
    if query.rerank == "auto":
        return query.mode == "hybrid" and suitable
    return query.rerank is not None


def _search_lexical(
    store: Store, text: str, limit: int, selections: Sequence[Selection]
) -> dict[int, float]:
    """The best lexical matches of each selection, normalized together."""
    found = [
        search_distinct(store, partial(store.search_terms, text, selection=one), limit)
        for one in selections
    ]
    return normalize_bm25(_union(found))


def _nearest(
    store: Store, embedding: NDArray[np.float32], limit: int, selections: Sequence[Selection]
) -> Ranked:
    """The nearest chunks of each selection, with their cosines."""
    found = [
        search_distinct(store, partial(store.search_vectors, embedding, selection=one), limit)
        for one in selections
    ]
    return _union(found)


def _normalized(
    store: Store,
    embedding: NDArray[np.float32],
    nearest: Ranked,
    selections: Sequence[Selection],
    *,
    known: set[int],
) -> dict[int, float]:
    """The nearest chunks of each selection, normalized together; zero below the lowest of them.

    With one selection, every chunk that is not among its nearest is below the lowest. With two, a
    lexical match may lie between their lowest scores, so its cosine is computed.
    """
    scores = normalize_cosines(nearest)
    others = tuple(sorted(known - scores.keys()))
    if len(selections) == 1 or not others or not scores:
        return scores
    rest = store.search_vectors(embedding, len(others), Selection(ids=others))
    low, high = float(nearest.scores.min()), float(nearest.scores.max())
    for id, score in zip(rest.ids.tolist(), rest.scores.tolist(), strict=True):
        scores[id] = max(0.0, (score - low) / (high - low)) if high - low > 1e-6 else 0.0
    return scores


def _union(results: Sequence[Ranked]) -> Ranked:
    """Results of one query joined; a chunk found by two searches has the same score in both."""
    return Ranked(
        ids=np.concatenate([one.ids for one in results]),
        scores=np.concatenate([one.scores for one in results]),
    )


def _during(selection: Selection, interval: Interval) -> Selection:
    """The part of a selection whose time lies in an interval."""
    since = [one for one in (selection.since, interval.since) if one is not None]
    until = [one for one in (selection.until, interval.until) if one is not None]
    return replace(selection, since=max(since, default=None), until=min(until, default=None))


def _expanded(
    store: Store, best: Sequence[Group], scored: Sequence[Scored], query: RecallQuery
) -> Iterator[Found]:
    """The best, each followed by the chunks it adds."""
    added = {}
    if query.expand is not None:
        added = expand(store, [group.item.id for group in best], query.expand, query.selection)
    known = {item.id: item for item in scored}
    for item, repeats in best:
        yield Found(item, repeats=repeats)
        for id in added.get(item.id, ()):
            yield Found(known.get(id) or Scored(id), expanded_from=item.id)
