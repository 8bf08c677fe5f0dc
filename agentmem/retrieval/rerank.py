"""Reranking: the best candidates scored again, the question against the latents themselves.

Lexical and vector search score each memory from a summary made in advance. The reranker compares
the question with a memory token by token, and also sees the memories directly before and after it
(see `agentmem.models.reranker`). That is slower, so it scores only the best `MAX_RERANKED`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agentmem.ingest.identity import preface, preface_ids
from agentmem.models.base import MemoryModel, Passage, View
from agentmem.retrieval.expand import find_neighbors, present
from agentmem.retrieval.fusion import Scored, by_score
from agentmem_storage.records import Selection
from agentmem_storage.store import Store

# Reranking more candidates does not improve recall (benchmarks/LOG.md).
MAX_RERANKED = 64


def rerank(
    store: Store,
    model: MemoryModel,
    query: Sequence[int],
    scored: Sequence[Scored],
    selection: Selection,
    weight: float,
    time_share: float,
) -> list[Scored]:
    """The candidates in their new order, best first; ties go to the lower id.

    The new score is ``(score + weight * r) / (1 + weight)`` with ``r = (1 - time_share) * rerank +
    time_share * time``: the reranker does not know times, so ``time`` keeps the share that it has
    in the score. ``rerank`` is the reranker's output, scaled so that the best `MAX_RERANKED` span
    0 to 1; it is 0 for all other candidates, and 1 for all reranked ones if they score the same.

    Args:
        store: The open store.
        model: A model that has a reranker.
        query: Token ids of the question.
        scored: Candidates, best first.
        selection: Which chunks may be seen as neighbors.
        weight: Weight of the reranker relative to the search, which has weight 1.
        time_share: Share of the time component in a score; 0 if the question names no time.

    Raises:
        UnknownIdError: a chunk has been forgotten in the meantime.
    """
    best = [item.id for item in scored[:MAX_RERANKED]]
    sides = find_neighbors(store, best, selection).sides
    neighbors = {one for pair in sides.values() for side in pair for one in present(side)}
    ids = sorted({*best, *neighbors})
    records = store.latents(ids)
    headers = [preface(record) for record in records]
    encoded = {text: preface_ids(text, model.tokenizer) for text in set(headers)}
    passages = [
        Passage(record.latents, record.tokens, encoded[text])
        for record, text in zip(records, headers, strict=True)
    ]
    index = {id: at for at, id in enumerate(ids)}
    views: list[View] = []
    for id in best:
        nearest = map(present, sides[id])
        before, after = (index[side[0]] if side else None for side in nearest)
        views.append((index[id], before, after))
    outputs = model.rerank(query, passages, views)
    finite = np.isfinite(outputs)
    low, high = (outputs[finite].min(), outputs[finite].max()) if finite.any() else (0.0, 0.0)
    scaled = (outputs - low) / (high - low) if high > low else np.where(finite, 1.0, 0.0)
    reranked = dict(zip(best, np.clip(scaled, 0.0, 1.0).tolist(), strict=True))

    def rescored(item: Scored) -> Scored:
        own = reranked.get(item.id, 0.0)
        again = (1 - time_share) * own + time_share * item.time
        return item._replace(score=(item.score + weight * again) / (1 + weight), rerank=own)

    return sorted(map(rescored, scored), key=by_score)
