"""From stored bytes to reranker scores: latents unpacked in batches, codes looked up as tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentmem.models.autoencoder.codec import LatentCodec
from agentmem.models.autoencoder.rounding import code_indices
from agentmem.models.base import Passage, View
from agentmem.models.layers.padding import by_length, pad_rows
from agentmem.models.reranker.runtime import RerankerRuntime

# Tokens of passages in one batch, padding included.
_BATCH_TOKENS = 2048


def score_latents(
    reranker: RerankerRuntime,
    codec: LatentCodec,
    query: Sequence[int],
    passages: Sequence[Passage],
    views: Sequence[View],
) -> NDArray[np.float32]:
    """See `agentmem.models.base.Reranker.rerank`: scores (N,) of candidates among P passages."""
    if not views:
        return np.empty(0, dtype=np.float32)
    unpacked = codec.unpack_codes([p.packed for p in passages], [p.tokens for p in passages])
    damaged = {index for index, one in enumerate(unpacked) if isinstance(one, ValueError)}
    empty = np.empty((0, codec.slot_dims), dtype=np.int8)
    codes = [empty if isinstance(one, ValueError) else one for one in unpacked]
    tokens = reranker.token_ids(code_indices(np.concatenate(codes)))
    ends = np.cumsum([len(one) for one in codes])[:-1]
    rows = [
        [*passage.preface, *own.tolist()]
        for passage, own in zip(passages, np.split(tokens, ends), strict=True)
    ]
    undamaged = [[-1 if at is None or at in damaged else at for at in view] for view in views]
    # A damaged candidate is scored from its neighbors, and then put last.
    scored = np.array([[max(0, own), *neighbors] for own, *neighbors in undamaged])
    (ids,), _ = pad_rows([query])
    states = reranker.encode_query(ids)
    attended = np.empty((len(rows), *states.shape), dtype=np.float32)  # (P, Q, H)
    match = np.empty(attended.shape[:-1], dtype=np.float32)
    # Passages of similar length together: otherwise most of the work would be padding.
    for batch in by_length([len(row) for row in rows], _BATCH_TOKENS):
        attended[batch], match[batch] = reranker.attend(
            states, *pad_rows([rows[index] for index in batch])
        )
    scores = reranker.score_views(states, attended, match, scored)
    scores[[own < 0 for own, *_ in undamaged]] = -np.inf
    return scores
