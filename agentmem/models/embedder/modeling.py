"""The built-in embedder: a small encoder that turns a chunk and its speaker into one embedding.

Latents are trained to keep every word; an embedding is trained to lie near the questions the chunk
answers. The two objectives conflict (retrieval tuning erases what an encoder stored: Badger, arXiv
2602.13466), so the embedder has weights of its own: token embeddings, a few blocks, and weighted
mean pooling.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agentmem.models.embedder.configuration import EmbedderConfig
from agentmem.models.layers.blocks import Block, rotary_angles
from agentmem.models.layers.network import Network


class EmbedderModel(Network[EmbedderConfig]):
    """Token ids (B, T) to unit-norm embeddings (B, K)."""

    config_class = EmbedderConfig

    def __init__(self, config: EmbedderConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=1e-5)
        self.weigh = nn.Linear(config.hidden_size, 1)
        self.out = nn.Linear(config.hidden_size, config.embedding_dims, bias=False)
        self.init_weights()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.RMSNorm):
            nn.init.ones_(module.weight)

    def forward(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Embed a batch.

        Args:
            input_ids: int64 (B, T).
            mask: bool (B, T), True on tokens.

        Returns:
            (B, K), unit norm.
        """
        x = self.embedding(input_ids)
        rope = rotary_angles(x.shape[1], self.config, x.device, x.dtype)
        visible = mask[:, None, None, :]  # (B, 1, 1, T)
        for block in self.blocks:
            x = block(x, rope, visible)
        # The norm of a token's vector carries its importance too, so the vectors are averaged
        # without normalization. The mean is in full precision even under autocast.
        weights = F.softplus(self.weigh(self.norm(x)).float()) * mask[..., None]  # (B, T, 1)
        pooled = (weights * x).sum(1) / weights.sum(1).clamp_min(torch.finfo(weights.dtype).tiny)
        return F.normalize(self.out(pooled).float(), dim=-1)
