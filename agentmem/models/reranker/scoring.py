"""From stored bytes to reranker scores: latents unpacked in batches, codes looked up as tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from agentmem.models.autoencoder.codec import LatentCodec
from agentmem.models.autoencoder.token_table import code_indices
from agentmem.models.base import Passage, View
from agentmem.models.layers.inference import inference
from agentmem.models.layers.padding import by_length, pad
from agentmem.models.reranker.modeling import LatentReranker

# Tokens of passages in one batch, padding included.
_BATCH_TOKENS = 2048


@inference()
def score_latents(
    reranker: LatentReranker,
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
    indices = code_indices(torch.from_numpy(np.concatenate(codes)).long())
    tokens = torch.split(reranker.token_ids(indices), [len(one) for one in codes])
    rows = [
        [*passage.preface, *own.tolist()] for passage, own in zip(passages, tokens, strict=True)
    ]
    undamaged = [[-1 if at is None or at in damaged else at for at in view] for view in views]
    # A damaged candidate is scored from its neighbors, and then put last.
    scored = torch.tensor([[max(0, own), *neighbors] for own, *neighbors in undamaged])
    ids, query_mask = pad([query])
    states = reranker.encode_query(ids, query_mask)
    attended = torch.empty(1, len(rows), *states.shape[1:])  # (1, P, Q, H)
    match = torch.empty(attended.shape[:-1])
    # Passages of similar length together: otherwise most of the work would be padding.
    for batch in by_length([len(row) for row in rows], _BATCH_TOKENS):
        batch_ids, mask = pad([rows[index] for index in batch])
        attended[:, batch], match[:, batch] = reranker.attend(states, batch_ids[None], mask[None])
    scores = reranker.score_views(states, query_mask, attended, match, scored[None])[0].numpy()
    scores[[own < 0 for own, *_ in undamaged]] = -np.inf
    return np.asarray(scores, dtype=np.float32)
