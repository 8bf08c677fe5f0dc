"""From stored bytes to the reranker's scores: latents unpacked together, codes looked up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from agentmem.models.autoencoder.codec import LatentCodec, by_length
from agentmem.models.autoencoder.codes import cells_of
from agentmem.models.base import Passage, View
from agentmem.models.layers.padding import pad
from agentmem.models.reranker.modeling import LatentReranker

# Tokens of passages that are looked at together, padding included.
_TOKENS = 2048


def score_latents(
    reranker: LatentReranker,
    codec: LatentCodec,
    query: Sequence[int],
    passages: Sequence[Passage],
    views: Sequence[View],
) -> NDArray[np.float32]:
    """See `MemoryModel.rerank`: scores (N,) of candidates among P passages."""
    if not views:
        return np.empty(0, dtype=np.float32)
    latents = codec.unpack_tapes([one.packed for one in passages], [one.tokens for one in passages])
    damaged = {place for place, one in enumerate(latents) if isinstance(one, ValueError)}
    nothing = np.empty((0, codec.slot_dims), dtype=np.int8)
    tapes = [nothing if isinstance(tape, ValueError) else tape for tape in latents]
    codes = torch.from_numpy(np.concatenate(tapes)).long()
    tokens = iter(torch.split(reranker.token_ids(cells_of(codes)), [len(one) for one in tapes]))
    rows = [[*passage.preface, *next(tokens).tolist()] for passage in passages]
    places = [[-1 if at is None or at in damaged else at for at in view] for view in views]
    # A candidate that is damaged itself is scored by what stands beside it, and then put last.
    seen = torch.tensor([[max(0, own), *beside] for own, *beside in places])
    ids, asked_mask = pad([list(query)])
    asked = reranker.ask(ids, asked_mask)
    found = torch.empty(1, len(rows), *asked.shape[1:])  # (1, P, Q, H)
    match = torch.empty(found.shape[:-1])
    # Passages of one length together: else most of the work would be on padding.
    for group in by_length([len(row) for row in rows], _TOKENS):
        passages_ids, mask = pad([rows[place] for place in group])
        found[:, group], match[:, group] = reranker.look(asked, passages_ids[None], mask[None])
    scores = reranker.decide(asked, asked_mask, found, match, seen[None])[0].numpy()
    scores[[own < 0 for own, *_ in places]] = -np.inf
    return np.asarray(scores, dtype=np.float32)
