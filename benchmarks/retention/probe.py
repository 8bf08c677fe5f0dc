"""The fresh decoder of the retention study: one small shape for every embedding.

A probe fills all positions in one pass from the embedding alone, bidirectionally: what it says
about one token can lean on the embedding and on nothing else, so it runs free by construction.
The same probe with a causal mask and the previous tokens beside the embedding is the
teacher-forced one, whose loss says little about what the embedding holds.

How an embedding meets the positions:
- a vector (B, D) is read by every position through a linear map of its own, of rank `_READ`;
- a slot of latent codes (B, T, F) goes to its own position, through one shared linear map.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaModel

from agentmem.models.tokenizer import BOS

# Numbers that a position reads out of a vector, before they are widened to H.
_READ = 32


class Probe(nn.Module):
    """Embedding to logits (B, T, V)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, sizes: LlamaConfig, sample: Tensor, *, tokens: int, forced: bool) -> None:
        """Make a fresh probe.

        Args:
            sizes: Width, layers, heads and vocabulary.
            sample: Embeddings of training chunks, (B, D) or (B, T, F): each dim is brought to
                mean 0 and deviation 1 by them, lest a probe's first steps go into that.
            tokens: T.
            forced: Whether it sees the previous tokens.
        """
        super().__init__()
        self.tokens, self.forced = tokens, forced
        rows = sample.flatten(0, -2)
        self.register_buffer("mean", rows.mean(0))
        self.register_buffer("deviation", rows.std(0).clamp_min(1e-6))
        dims = sample.shape[-1]
        self.read = nn.Linear(dims, tokens * _READ) if sample.ndim == 2 else nn.Identity()
        self.widen = nn.Linear(_READ if sample.ndim == 2 else dims, sizes.hidden_size)
        self.body = LlamaModel(sizes)

    def forward(self, embedding: Tensor, ids: Tensor) -> Tensor:
        """Logits (B, T', V) for the first T' positions.

        Args:
            embedding: (B, D) or (B, T, F).
            ids: int64 (B, T' - 1), or all T of them; only a teacher-forced probe looks at them.
                For any other T' is T.
        """
        x = self.read((embedding - self.mean) / self.deviation)
        x = self.widen(x.view(len(x), self.tokens, -1))  # (B, T, H)
        if self.forced:
            x = self._with_tokens(x, ids)
            states = self.body(inputs_embeds=x).last_hidden_state  # causal, as it is by default
        else:
            visible = torch.ones(1, 1, self.tokens, self.tokens, dtype=torch.bool)
            states = self.body(inputs_embeds=x, attention_mask=visible).last_hidden_state
        # The token table is the head as well, as in every model of this size here.
        return F.linear(states, self.body.embed_tokens.weight)

    def loss(self, embedding: Tensor, ids: Tensor) -> Tensor:
        """Mean cross-entropy, nats, of the tokens (B, T)."""
        logits = self(embedding, ids)
        return F.cross_entropy(logits.flatten(0, 1).float(), ids.flatten())

    def _with_tokens(self, x: Tensor, ids: Tensor) -> Tensor:
        """The positions (B, T', H) whose previous token is known, with that token added."""
        previous = F.pad(ids[:, : self.tokens - 1], (1, 0), value=BOS)
        # Rows of a fresh token table have a norm far below that of what `widen` makes.
        seen = F.rms_norm(self.body.embed_tokens(previous), (x.shape[-1],))
        return x[:, : previous.shape[1]] + seen


@torch.no_grad()
def free_run(probe: Probe, embedding: Tensor) -> Tensor:
    """Greedy ids (B, T) of a teacher-forced probe that is given its own output instead."""
    ids = torch.empty(len(embedding), 0, dtype=torch.long)
    for _ in range(probe.tokens):
        ids = torch.cat([ids, probe(embedding, ids)[:, -1:].argmax(-1)], dim=1)
    return ids
