"""Greedy decoding of many reading sequences at once, for evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from agentmem.models.reader.attention import masks_for
from agentmem.models.reader.modeling import ReadingBatch, ReadingModel
from agentmem.models.reader.sequence import PADDING
from agentmem.models.reader.states import move_keys


@dataclass(frozen=True, slots=True)
class Decoded:
    """Answers that were decoded after each sequence.

    Attributes:
        ids: Token ids of each answer, without the end token.
        log_probabilities: Sum of the log probabilities of an answer's tokens, including its end.
        first: Log probabilities of the watched tokens at the first position, (B, len(watch)).
        certainties: Log probability of each answer's first token.
    """

    ids: list[list[int]]
    log_probabilities: list[float]
    first: list[list[float]]
    certainties: list[float]


@torch.no_grad()
def decode_batch(
    model: ReadingModel,
    batch: ReadingBatch,
    ratio: int,
    *,
    end: int,
    most: int = 24,
    watch: tuple[int, ...] = (),
    adapted: bool = True,
) -> Decoded:
    """Decode greedily the answers of sequences that end with their only branch's prompt.

    Args:
        model: The reader.
        batch: Sequences of one branch each, without targets.
        ratio: Tokens per kept state; 0 reads plain text.
        end: The token that ends an answer.
        most: Maximum number of tokens of an answer.
        watch: Token ids whose probability at the first position is returned.
        adapted: False uses the language model without adapters, for baselines.
    """
    lm, kinds = model.lm, batch.kinds
    rows = torch.arange(len(kinds), device=kinds.device)
    visible = model.visible(batch, ratio, adapted=adapted) if ratio > 1 else None
    gate = (kinds != PADDING)[..., None].float() if adapted else None
    # Whole in all layers: the cache that a model makes itself forgets what its windows left behind,
    # counted in cache slots, and here several slots may have one position.
    cache = DynamicCache()
    keys = batch.positions + batch.moves
    with model.gates.set(text=gate):
        out = lm.model(
            inputs_embeds=lm.get_input_embeddings()(batch.ids),
            past_key_values=cache,
            use_cache=True,
            **model.pass_inputs(batch, ratio, visible),
        )
    if ratio:
        move_keys(lm, cache, batch.moves)
    last = (kinds >= 0).sum(1) - 1
    position = batch.positions[rows, last]
    hidden = out.last_hidden_state[rows, last]
    seen = kinds != PADDING
    total = torch.zeros(len(kinds), device=kinds.device)
    done = torch.zeros(len(kinds), dtype=torch.bool, device=kinds.device)
    written: list[Tensor] = []
    first: Tensor | None = None
    certainty: Tensor | None = None
    for turn in range(most):
        scores = model.logits(hidden).log_softmax(-1)
        if first is None:
            first = scores[:, list(watch)]
        best, token = scores.max(-1)
        certainty = best if certainty is None else certainty
        total += torch.where(done, torch.zeros_like(best), best)
        token = torch.where(done, torch.full_like(token, end), token)
        written.append(token)
        done = done | (token == end)
        if turn + 1 == most or bool(done.all()):
            break
        position = position + 1
        seen = torch.cat([seen, torch.ones_like(seen[:, :1])], 1)
        keys = torch.cat([keys, position[:, None]], 1)
        gate = torch.ones(len(kinds), 1, 1, device=kinds.device) if adapted else None
        with model.gates.set(text=gate):
            out = lm.model(
                inputs_embeds=lm.get_input_embeddings()(token[:, None]),
                attention_mask=masks_for(lm, seen[:, None, None, :], position[:, None], keys),
                position_ids=position[:, None],
                past_key_values=cache,
                use_cache=True,
                visible=visible,
            )
        hidden = out.last_hidden_state[:, -1]
    ids = torch.stack(written, 1).tolist() if written else [[] for _ in rows]
    answers = [row[: row.index(end)] if end in row else row for row in ids]
    return Decoded(
        answers,
        total.tolist(),
        first.tolist() if first is not None else [],
        certainty.tolist() if certainty is not None else [],
    )
