"""A small head that turns the frozen encoder's states into one key per chunk.

Latents are made to keep every word; a key is made to lie near the questions it answers. The two
pull apart (retrieval tuning erases what an encoder stored: Badger, arXiv 2602.13466), so keys have
weights of their own: a token table, a map of the autoencoder's states, one convolution over
neighbours, and a weighted mean.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel

from agentmem.models.keys.configuration import KeyEncoderConfig


class KeyEncoder(PreTrainedModel):
    """Encoder states (B, T, H) and ids (B, T) to unit-norm keys (B, K)."""

    config_class = KeyEncoderConfig
    config: KeyEncoderConfig
    base_model_prefix = "keys"
    main_input_name = "input_ids"

    def __init__(self, config: KeyEncoderConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.embedding = nn.Embedding(config.vocab_size, width)
        self.from_states = nn.Linear(config.state_size, width, bias=False)
        self.mix = nn.Conv1d(width, width, kernel_size=3, padding=1)
        self.weigh = nn.Linear(width, 1)
        self.out = nn.Linear(width, config.key_dims, bias=False)
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding | nn.Linear | nn.Conv1d):
            nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
        if isinstance(module, nn.Linear | nn.Conv1d) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, input_ids: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        """Keys of a batch.

        Args:
            input_ids: int64 (B, T).
            states: Encoder states of the same ids, (B, T, H).
            mask: bool (B, T), True on tokens.

        Returns:
            (B, K), unit norm.
        """
        gate = mask[..., None].to(states.dtype)
        x = (self.embedding(input_ids) + self.from_states(states)) * gate
        x = x + F.gelu(self.mix(x.transpose(1, 2)).transpose(1, 2))
        weights = F.softplus(self.weigh(x)) * gate  # (B, T, 1)
        pooled = (weights * x).sum(1) / weights.sum(1).clamp_min(torch.finfo(x.dtype).tiny)
        return F.normalize(self.out(pooled), dim=-1)


AutoConfig.register(KeyEncoderConfig.model_type, KeyEncoderConfig)
AutoModel.register(KeyEncoderConfig, KeyEncoder)
