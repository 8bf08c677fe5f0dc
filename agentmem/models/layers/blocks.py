"""The transformer blocks of the autoencoder and the embedder.

Pre-norm, bidirectional, with rotary position embeddings (Su et al., arXiv 2104.09864).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agentmem.models.layers.configuration import BlockConfig


class Attention(nn.Module):
    """Bidirectional self-attention with rotary position embeddings."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=False)
        self.out = nn.Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        """States (B, T, H), cosines and sines (T, H/heads), mask (B, 1, 1, T) to (B, T, H)."""
        b, t, h = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, h // self.heads).permute(2, 0, 3, 1, 4)
        q, k = _rotate(q, rope), _rotate(k, rope)  # (B, heads, T, H/heads)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out: Tensor = self.out(y.transpose(1, 2).reshape(b, t, h))
        return out


class Block(nn.Module):
    """Pre-norm attention and feed-forward layer, each with a residual connection."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.hidden_size, eps=1e-5)
        self.attention = Attention(config)
        self.mlp_norm = nn.RMSNorm(config.hidden_size, eps=1e-5)
        self.up = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        """As `Attention.forward`."""
        x = x + self.attention(self.attention_norm(x), rope, mask)
        y: Tensor = self.down(F.gelu(self.up(self.mlp_norm(x)), approximate="tanh"))
        return x + y


def rotary_angles(
    t: int, config: BlockConfig, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of T positions, each (T, H/heads)."""
    width = config.hidden_size // config.num_attention_heads
    steps = torch.arange(0, width, 2, device=device, dtype=torch.float32) / width
    angles = torch.arange(t, device=device)[:, None] * config.rope_theta**-steps
    # Their cosines and sines are as precise as what they are used in.
    angles = angles.to(torch.promote_types(angles.dtype, dtype))
    angles = torch.cat([angles, angles], dim=-1)  # (T, H/heads)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def _rotate(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = rope
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-b, a], dim=-1) * sin
