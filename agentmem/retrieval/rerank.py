"""The best of a search, looked at once more: the question against the latents themselves.

Words and keys say of each memory by itself how near the question is. The reranker holds the two
side by side, token by token, and sees what was said right before and after (see
`agentmem.models.reranker`). It is asked about the best `MOST` only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agentmem.ingest.identity import preface, preface_ids
from agentmem.models.base import Passage, Reranker, Tokenizer, View
from agentmem.retrieval.expand import neighbours, visible
from agentmem.retrieval.fusion import Scored, by_score
from agentmem_storage.records import Selection
from agentmem_storage.store import Store

# Candidates that are looked at again: more of them find no more (benchmarks/LOG.md).
MOST = 64


def rerank(
    store: Store,
    reranker: Reranker,
    tokenizer: Tokenizer,
    query: Sequence[int],
    scored: Sequence[Scored],
    selection: Selection,
    weight: float,
    time_share: float,
) -> list[Scored]:
    """The candidates in their new order, best first; ties go to the lower id.

    The new score is ``(score + weight * again) / (1 + weight)``, where ``again`` is ``rerank`` and,
    since the reranker knows no times, as much of ``time`` as the score has of it:
    ``(1 - time_share) * rerank + time_share * time``. ``rerank`` is what the reranker says,
    stretched so that the best `MOST` span 0 to 1; it is 0 for all others, and 1 for all if they are
    equal.

    Args:
        store: Where they are.
        reranker: Scores the candidates.
        tokenizer: Makes the token ids that it takes.
        query: Token ids of the question.
        scored: Candidates, best first.
        selection: What a neighbour must pass to be seen.
        weight: How much the reranker counts beside the search, which counts one.
        time_share: How much of a score the time is that the question names; 0 if it names none.

    Raises:
        UnknownIdError: a chunk has been forgotten meanwhile.
    """
    best = [item.id for item in scored[:MOST]]
    beside = neighbours(store, best, selection).sides
    ids = sorted({*best, *(one for sides in beside.values() for s in sides for one in visible(s))})
    records = store.latents(ids)
    told = [preface(record) for record in records]
    prefaces = {text: preface_ids(text, tokenizer) for text in set(told)}
    passages = [
        Passage(record.latents, record.tokens, prefaces[text], record.patch)
        for record, text in zip(records, told, strict=True)
    ]
    place = {id: at for at, id in enumerate(ids)}
    views: list[View] = []
    for id in best:
        seen = map(visible, beside[id])
        before, after = (place[side[0]] if side else None for side in seen)
        views.append((place[id], before, after))
    found = reranker.rerank(query, passages, views)
    sound = np.isfinite(found)
    low, high = (found[sound].min(), found[sound].max()) if sound.any() else (0.0, 0.0)
    stretched = (found - low) / (high - low) if high > low else np.where(sound, 1.0, 0.0)
    said = dict(zip(best, np.clip(stretched, 0.0, 1.0).tolist(), strict=True))

    def judged(item: Scored) -> Scored:
        own = said.get(item.id, 0.0)
        again = (1 - time_share) * own + time_share * item.time
        return item._replace(score=(item.score + weight * again) / (1 + weight), rerank=own)

    return sorted(map(judged, scored), key=by_score)
