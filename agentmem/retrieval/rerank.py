"""Reranking: the best candidates scored again, the question against the latents themselves.

Lexical and vector search score each memory from a summary made in advance. The reranker compares
the question with a memory token by token, and also sees the memories directly before and after it
(see `agentmem.models.reranker`). That is slower, so it scores only the best `MAX_RERANKED`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agentmem.ingest.identity import preface, preface_ids
from agentmem.models.base import Passage, Reranker, Tokenizer, View
from agentmem.retrieval.expand import Surroundings, present
from agentmem.retrieval.fusion import Scored, by_score
from agentmem_storage.snapshot import Snapshot

# Reranking more candidates does not improve recall (benchmarks/LOG.md).
MAX_RERANKED = 64


def rerank(
    snapshot: Snapshot,
    surroundings: Surroundings,
    reranker: Reranker,
    tokenizer: Tokenizer,
    query: Sequence[int],
    scored: Sequence[Scored],
    weight: float,
    time_share: float,
) -> list[Scored]:
    """The candidates in their new order, best first; ties go to the lower id.

    The new score is ``(score + weight * r) / (1 + weight)`` with ``r = (1 - time_share) * rerank +
    time_share * time``: the reranker does not know times, so ``time`` keeps the share that it has
    in the score. ``rerank`` is the reranker's output, scaled so that the best `MAX_RERANKED` span
    0 to 1; it is 0 for all other candidates, and 1 for all reranked ones if they score the same.

    Args:
        snapshot: The state of the store.
        surroundings: What is near the candidates.
        reranker: Scores the candidates.
        tokenizer: Makes the token ids that the reranker takes.
        query: Token ids of the question.
        scored: Candidates, best first.
        weight: Weight of the reranker relative to the search, which has weight 1.
        time_share: Share of the time component in a score; 0 if the question names no time.
    """
    best = [item.id for item in scored[:MAX_RERANKED]]
    sides = surroundings.beside(best)
    ids = sorted({*best, *(one for pair in sides.values() for one in present(pair))})
    records = snapshot.latents(ids)
    headers = [preface(record) for record in records]
    encoded = {text: preface_ids(text, tokenizer) for text in set(headers)}
    passages = [
        Passage(record.latents, record.tokens, encoded[text], record.patch)
        for record, text in zip(records, headers, strict=True)
    ]
    index = {id: at for at, id in enumerate(ids)}
    views: list[View] = []
    for id in best:
        before, after = (None if one is None else index[one] for one in sides[id])
        views.append((index[id], before, after))
    outputs = reranker.rerank(query, passages, views)
    finite = np.isfinite(outputs)
    low, high = (outputs[finite].min(), outputs[finite].max()) if finite.any() else (0.0, 0.0)
    scaled = (outputs - low) / (high - low) if high > low else np.where(finite, 1.0, 0.0)
    reranked = dict(zip(best, np.clip(scaled, 0.0, 1.0).tolist(), strict=True))

    def rescored(item: Scored) -> Scored:
        own = reranked.get(item.id, 0.0)
        again = (1 - time_share) * own + time_share * item.time
        return item._replace(score=(item.score + weight * again) / (1 + weight), rerank=own)

    return sorted(map(rescored, scored), key=by_score)
