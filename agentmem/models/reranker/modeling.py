"""Cross-attention from a question to stored memories, slot by slot, without decoding them.

Each token of the question looks for what fits it in a memory's slots, in the one said before it
and in the one said after, and is compared with what it found; the comparisons, weighted by how much
each token of the question says, make the score. It is decomposable attention (Parikh et al., arXiv
1606.01933) with the strongest match of each token beside it, as in late interaction (Khattab and
Zaharia, arXiv 2004.12832). All of it is linear in the number of memories, and a memory that is
another one's neighbour is looked at once.

A slot enters by the token that its code stands for (see `agentmem.models.autoencoder.lattice`):
one look-up per slot, no pass of the decoder.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel

from agentmem.models.reranker.configuration import LatentRerankerConfig

# What a memory is compared with: itself, the one said before it, the one said after it.
_VIEWS = 3
_FAR = -1e4


class LatentReranker(PreTrainedModel):
    """A question against P passages, and scores of candidates among them.

    Shapes: G questions, Q tokens of a question, P passages, T tokens of a passage, N candidates.
    """

    config_class = LatentRerankerConfig
    config: LatentRerankerConfig
    base_model_prefix = "reranker"
    main_input_name = "query"

    def __init__(self, config: LatentRerankerConfig) -> None:
        super().__init__(config)
        h, wide = config.hidden_size, config.intermediate_size
        # Which token each code stands for.
        self.register_buffer("tokens", torch.zeros(config.cells, dtype=torch.int16))
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
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight)
        elif isinstance(module, nn.Linear | nn.Conv1d):
            nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, LatentReranker):
            # At first a token matches itself, and the score is how many tokens found a match.
            nn.init.eye_(module.query.weight)
            nn.init.eye_(module.key.weight)
            for mix in (module.mix, module.mix_query):
                nn.init.normal_(mix.weight, std=0.3 * mix.weight[0].numel() ** -0.5)
            nn.init.constant_(module.sharpness, 10.0)
            with torch.no_grad():
                module.matches.copy_(torch.tensor([10.0, 2.0, 2.0]))

    def token_ids(self, codes: Tensor) -> Tensor:
        """Cells of slots (...) to the tokens that they stand for, int64 (...)."""
        return cast("Tensor", self.tokens)[codes].long()

    def forward(
        self, query: Tensor, query_mask: Tensor, passages: Tensor, mask: Tensor, views: Tensor
    ) -> Tensor:
        """Score candidates.

        Args:
            query: Token ids of questions, int64 (G, Q).
            query_mask: True on tokens, bool (G, Q).
            passages: Token ids, int64 (G, P, T).
            mask: True on tokens, bool (G, P, T).
            views: Places among the passages of each candidate, of what was said before it and of
                what was said after, int64 (G, N, 3); -1: there is none.

        Returns:
            Scores (G, N); higher is better, comparable for one question only.
        """
        asked = self.ask(query, query_mask)
        return self.decide(asked, query_mask, *self.look(asked, passages, mask), views)

    def ask(self, query: Tensor, mask: Tensor) -> Tensor:
        """What questions ask, token by token: ids and mask (G, Q) to (G, Q, H)."""
        return _mixed(self.embedding(query), mask, self.mix_query)

    def decide(
        self, asked: Tensor, query_mask: Tensor, found: Tensor, match: Tensor, views: Tensor
    ) -> Tensor:
        """Score candidates by what `look` found in their passages.

        Args:
            asked: By `ask`, (G, Q, H).
            query_mask: True on tokens, bool (G, Q).
            found: By `look`, (G, P, Q, H).
            match: By `look`, (G, P, Q).
            views: As in `forward`, int64 (G, N, 3).

        Returns:
            Scores (G, N).
        """
        g, n = views.shape[:2]
        rows = torch.arange(g, device=views.device)[:, None, None]
        there = (views >= 0)[..., None]  # (G, N, 3, 1)
        match = torch.where(there, match[rows, views.clamp_min(0)], 0.0)  # (G, N, 3, Q)
        found = torch.where(there[..., None], found[rows, views.clamp_min(0)], 0.0)

        shown = query_mask[..., None]
        weights = F.softplus(self.weigh(asked)) * shown  # (G, Q, 1)
        weights = (weights / weights.sum(1, keepdim=True))[:, None]  # (G, 1, Q, 1)
        tokens = asked[:, None].expand(-1, n, -1, -1)  # (G, N, Q, H)
        share = (weights * query_mask.sum(1)[:, None, None, None]).expand(-1, n, -1, -1)
        parts = [tokens, found[:, :, 0], *(tokens * found[:, :, view] for view in range(_VIEWS))]
        compared = torch.cat([*parts, match.transpose(2, 3), share], -1)
        compared = F.gelu(self.digest(F.gelu(self.compare(compared))))  # (G, N, Q, wide)
        strongest = compared.masked_fill(~shown[:, None], _FAR).amax(2)
        judged = F.gelu(self.judge(torch.cat([(weights * compared).sum(2), strongest], -1)))
        plain = ((match * weights[..., 0][:, :, None]).sum(-1) * self.matches).sum(-1)  # (G, N)
        score: Tensor = self.score(judged)[..., 0] + plain
        return score

    def look(self, asked: Tensor, passages: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """What each token of the questions finds in each passage.

        Args:
            asked: By `ask`, (G, Q, H).
            passages: Token ids, int64 (G, P, T).
            mask: True on tokens, bool (G, P, T).

        Returns:
            What it found (G, P, Q, H), and how well the best slot fits (G, P, Q), a cosine.
        """
        g, p, t = passages.shape
        flat = mask.reshape(g * p, t)
        slots = _mixed(self.embedding(passages.reshape(g * p, t)), flat, self.mix)
        slots = slots.view(g, p, t, -1)
        left = F.normalize(self.query(asked), dim=-1)
        right = F.normalize(self.key(slots), dim=-1)
        fit = torch.einsum("gqh,gpth->gpqt", left, right)
        hidden = ~mask[:, :, None]  # (G, P, 1, T)
        attention = (fit * self.sharpness).masked_fill(hidden, _FAR).softmax(-1)
        return attention @ slots, fit.masked_fill(hidden, -1.0).amax(-1)


def _mixed(x: Tensor, mask: Tensor, mix: nn.Conv1d) -> Tensor:
    """Token vectors (B, T, H) with what stands beside each, zero on padding."""
    x = x * mask[..., None]
    return x + F.gelu(mix(x.transpose(1, 2)).transpose(1, 2))


AutoConfig.register(LatentRerankerConfig.model_type, LatentRerankerConfig)
AutoModel.register(LatentRerankerConfig, LatentReranker)
