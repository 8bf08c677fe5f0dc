"""Cross-attention from a query to stored chunks, slot by slot, without decoding them.

Each token of the query attends to the slots of a chunk and of the chunks right before and after it,
and is compared with what it attended to; the comparisons, weighted by the importance of each query
token, give the score. This is decomposable attention (Parikh et al., arXiv 1606.01933) combined
with each token's maximum similarity, as in late interaction (Khattab and Zaharia, arXiv
2004.12832). The cost is linear in the number of chunks, and a chunk that is also a neighbor is
encoded only once.

A slot is represented by the token its code stands for (see
`agentmem.models.autoencoder.token_table`): one table look-up per slot, no decoder pass.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agentmem.models.layers.network import Network
from agentmem.models.reranker.configuration import LatentRerankerConfig

# A query is matched against the candidate, the chunk before it and the chunk after it.
_VIEWS = 3
_MASKED = -1e4


class LatentReranker(Network[LatentRerankerConfig]):
    """Scores candidates among P passages against a query.

    Shapes: G queries, Q tokens of a query, P passages, T tokens of a passage, N candidates.
    """

    config_class = LatentRerankerConfig

    def __init__(self, config: LatentRerankerConfig) -> None:
        super().__init__(config)
        h, wide = config.hidden_size, config.intermediate_size
        # The token that each code stands for.
        self.register_buffer("tokens", torch.zeros(config.codes, dtype=torch.int16))
        self.embedding = nn.Embedding(config.vocab_size, h)
        self.mix = nn.Conv1d(h, h, kernel_size=3, padding=1)
        self.mix_query = nn.Conv1d(h, h, kernel_size=3, padding=1)
        self.query = nn.Linear(h, h, bias=False)
        self.key = nn.Linear(h, h, bias=False)
        self.sharpness = nn.Parameter(torch.empty(1))
        self.weigh = nn.Linear(h, 1)
        self.compare = nn.Linear((2 + _VIEWS) * h + _VIEWS + 1, wide)
        self.digest = nn.Linear(wide, wide)
        self.judge = nn.Linear(2 * wide, wide)
        self.score = nn.Linear(wide, 1)
        self.matches = nn.Parameter(torch.empty(_VIEWS))
        self.init_weights()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight)
        elif isinstance(module, nn.Linear | nn.Conv1d):
            nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, LatentReranker):
            # Initially a token matches itself, and the score counts the tokens that found a match.
            nn.init.eye_(module.query.weight)
            nn.init.eye_(module.key.weight)
            for mix in (module.mix, module.mix_query):
                nn.init.normal_(mix.weight, std=0.3 * mix.weight[0].numel() ** -0.5)
            nn.init.constant_(module.sharpness, 10.0)
            with torch.no_grad():
                module.matches.copy_(torch.tensor([10.0, 2.0, 2.0]))

    def token_ids(self, codes: Tensor) -> Tensor:
        """Code indices of slots (...) to the tokens they stand for, int64 (...)."""
        return cast("Tensor", self.tokens)[codes].long()

    def forward(
        self, query: Tensor, query_mask: Tensor, passages: Tensor, mask: Tensor, views: Tensor
    ) -> Tensor:
        """Score candidates.

        Args:
            query: Token ids of queries, int64 (G, Q).
            query_mask: True on tokens, bool (G, Q).
            passages: Token ids, int64 (G, P, T).
            mask: True on tokens, bool (G, P, T).
            views: Indices among the passages of each candidate, of the chunk before it and of the
                chunk after it, int64 (G, N, 3); -1: there is none.

        Returns:
            Scores (G, N); higher is better, comparable within one query only.
        """
        states = self.encode_query(query, query_mask)
        return self.score_views(states, query_mask, *self.attend(states, passages, mask), views)

    def encode_query(self, query: Tensor, mask: Tensor) -> Tensor:
        """Token ids and mask (G, Q) to token states (G, Q, H)."""
        return _mixed(self.embedding(query), mask, self.mix_query)

    def score_views(
        self, states: Tensor, query_mask: Tensor, attended: Tensor, match: Tensor, views: Tensor
    ) -> Tensor:
        """Score candidates from the results of `attend` on their passages.

        Args:
            states: From `encode_query`, (G, Q, H).
            query_mask: True on tokens, bool (G, Q).
            attended: From `attend`, (G, P, Q, H).
            match: From `attend`, (G, P, Q).
            views: As in `forward`, int64 (G, N, 3).

        Returns:
            Scores (G, N).
        """
        g, n = views.shape[:2]
        rows = torch.arange(g, device=views.device)[:, None, None]
        exists = (views >= 0)[..., None]  # (G, N, 3, 1)
        match = torch.where(exists, match[rows, views.clamp_min(0)], 0.0)  # (G, N, 3, Q)
        attended = torch.where(exists[..., None], attended[rows, views.clamp_min(0)], 0.0)

        visible = query_mask[..., None]
        weights = F.softplus(self.weigh(states)) * visible  # (G, Q, 1)
        weights = (weights / weights.sum(1, keepdim=True))[:, None]  # (G, 1, Q, 1)
        tokens = states[:, None].expand(-1, n, -1, -1)  # (G, N, Q, H)
        share = (weights * query_mask.sum(1)[:, None, None, None]).expand(-1, n, -1, -1)
        products = [tokens * attended[:, :, view] for view in range(_VIEWS)]
        compared = torch.cat(
            [tokens, attended[:, :, 0], *products, match.transpose(2, 3), share], -1
        )
        compared = F.gelu(self.digest(F.gelu(self.compare(compared))))  # (G, N, Q, wide)
        strongest = compared.masked_fill(~visible[:, None], _MASKED).amax(2)
        judged = F.gelu(self.judge(torch.cat([(weights * compared).sum(2), strongest], -1)))
        matched = ((match * weights[..., 0][:, :, None]).sum(-1) * self.matches).sum(-1)  # (G, N)
        score: Tensor = self.score(judged)[..., 0] + matched
        return score

    def attend(self, states: Tensor, passages: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Attention of each query token to the slots of each passage.

        Args:
            states: From `encode_query`, (G, Q, H).
            passages: Token ids, int64 (G, P, T).
            mask: True on tokens, bool (G, P, T).

        Returns:
            Attended slots (G, P, Q, H), and the maximum cosine similarity of a slot (G, P, Q).
        """
        g, p, t = passages.shape
        flat = mask.reshape(g * p, t)
        slots = _mixed(self.embedding(passages.reshape(g * p, t)), flat, self.mix)
        slots = slots.view(g, p, t, -1)
        left = F.normalize(self.query(states), dim=-1)
        right = F.normalize(self.key(slots), dim=-1)
        similarity = torch.einsum("gqh,gpth->gpqt", left, right)
        hidden = ~mask[:, :, None]  # (G, P, 1, T)
        attention = (similarity * self.sharpness).masked_fill(hidden, _MASKED).softmax(-1)
        return attention @ slots, similarity.masked_fill(hidden, -1.0).amax(-1)


def _mixed(x: Tensor, mask: Tensor, mix: nn.Conv1d) -> Tensor:
    """Token vectors (B, T, H) convolved with their neighbors; padding counts as zero."""
    x = x * mask[..., None]
    return x + F.gelu(mix(x.transpose(1, 2)).transpose(1, 2))
