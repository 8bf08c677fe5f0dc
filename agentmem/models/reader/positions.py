"""Reading by positions: memory vectors stand before the tokens, as input embeddings.

It asks nothing of the language model but ``inputs_embeds``, so it works with any, and with servers
that take embeddings for a prompt. Method: Badger, arXiv 2602.13466.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agentmem.models.reader.configuration import ReaderConfig


class PositionMaker(nn.Module):
    """Embeddings of slots to input embeddings, ``tokens_per_position`` slots to each.

    Every place among the slots of one position has a matrix of its own. The first starts as the
    identity: with one token per position the language model starts by reading its own embeddings,
    and training may grow from there, the other matrices joining when their slots do.
    """

    def __init__(self, hidden_size: int, config: ReaderConfig) -> None:
        super().__init__()
        self.most = config.tokens_per_position
        self.now = config.tokens_per_position
        self.places = nn.Parameter(torch.empty(self.most, hidden_size, hidden_size))
        nn.init.normal_(self.places, std=hidden_size**-0.5)
        with torch.no_grad():
            self.places[0] = torch.eye(hidden_size)
        self.edge = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, embeddings: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Memories side by side, an edge before each and one behind the last.

        Args:
            embeddings: (G, N, T, H).
            lengths: Tokens of each memory, int64 (G, N).

        Returns:
            Input embeddings (G, P, H) and their mask, bool (G, P).
        """
        groups, count, longest, hidden = embeddings.shape
        inside = torch.arange(longest, device=lengths.device) < lengths[..., None]
        x = torch.where(inside[..., None], embeddings, torch.zeros_like(embeddings))
        x = F.pad(x, (0, 0, 0, -longest % self.now))
        grouped = x.view(groups, count, -1, self.now, hidden)
        made = torch.einsum("gnmjh,jhk->gnmk", grouped, self.places[: self.now].to(x.dtype))
        used = -(-lengths // self.now)
        there = torch.arange(made.shape[2], device=lengths.device) < used[..., None]
        edge = self.edge.to(made.dtype).expand(groups, count, 1, -1)
        exists = (lengths > 0)[..., None]
        made = torch.cat([edge, made], dim=2).flatten(1, 2)
        mask = torch.cat([exists, there], dim=2).flatten(1, 2)
        closing = self.edge.to(made.dtype).expand(groups, 1, -1)
        # A group without memories has no edge either.
        return torch.cat([made, closing], dim=1), torch.cat([mask, exists.any(1)], dim=1)
