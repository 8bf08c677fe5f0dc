"""A small tower that turns a chunk, and who said it, into one key.

Latents are made to keep every word; a key is made to lie near the questions it answers. The two
pull apart (retrieval tuning erases what an encoder stored: Badger, arXiv 2602.13466), so keys have
weights of their own: a token table, a few blocks, and a weighted mean of what comes out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel

from agentmem.models.embedder.configuration import KeyEncoderConfig
from agentmem.models.layers.blocks import Block, rotary_angles


class KeyEncoder(PreTrainedModel):
    """Ids (B, T) to unit-norm keys (B, K)."""

    config_class = KeyEncoderConfig
    config: KeyEncoderConfig
    base_model_prefix = "keys"
    main_input_name = "input_ids"

    def __init__(self, config: KeyEncoderConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=1e-5)
        self.weigh = nn.Linear(config.hidden_size, 1)
        self.out = nn.Linear(config.hidden_size, config.key_dims, bias=False)
        self.post_init()  # type: ignore[no-untyped-call]

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
        """Keys of a batch.

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
        # How much a token says is in the length of its vector too, so what is added up is not
        # normalised. Under autocast: the mean in full precision.
        weights = F.softplus(self.weigh(self.norm(x)).float()) * mask[..., None]  # (B, T, 1)
        pooled = (weights * x).sum(1) / weights.sum(1).clamp_min(torch.finfo(weights.dtype).tiny)
        return F.normalize(self.out(pooled).float(), dim=-1)


AutoConfig.register(KeyEncoderConfig.model_type, KeyEncoderConfig)
AutoModel.register(KeyEncoderConfig, KeyEncoder)
