"""The autoencoder whose latents are the memory.

What is unusual here:
- per-token latent codes: every token owns a slot of ``slot_dims`` numbers; 16 adjacent slots form
  one memory vector. Nothing is squeezed through a single position.
- both stacks are bidirectional within the chunk, and the decoder fills all positions in one pass,
  so regeneration costs one forward pass and errors do not accumulate along the chunk.
- latents are int8 with one scale for the whole model (hardtanh bounds them); training replaces the
  quantizer by uniform noise first, and uses real rounding with a straight-through gradient at the
  end.
- the decoder also sees Fourier features of each dim, and tokens start on a grid of codes that those
  features separate (see `agentmem.models.autoencoder.initialization`).

Method: Badger, arXiv 2602.13466 (parallel decoding from a frozen encoder's embedding); per-slot
codes as in CALM, arXiv 2510.27688.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agentmem.models.autoencoder.configuration import LEVELS, AutoencoderConfig
from agentmem.models.layers.blocks import Block, rotary_angles
from agentmem.models.layers.network import Network

# The number of tokens that reach the head is rounded up to a multiple of this.
_HEAD_ROWS = 256
_IGNORED = -100
# Of the norm of token embeddings: what torch takes by itself in float32.
_EPS = torch.finfo(torch.float32).eps


@dataclass
class AutoencoderOutput:
    """The result of a training step.

    Attributes:
        loss: Mean cross-entropy of the regenerated tokens, nats, scalar.
        correct: Number of tokens regenerated, scalar.
        count: Number of tokens, scalar.
    """

    loss: Tensor
    correct: Tensor
    count: Tensor


class MemoryAutoencoder(Network[AutoencoderConfig]):
    """Tokens to int8 latents and back.

    Shapes: B chunks, T tokens, M = ceil(T / tokens_per_vector) memory vectors, D dims of each,
    H hidden size, V vocabulary.
    """

    config_class = AutoencoderConfig
    tied = {"head.weight": "embedding.weight"}

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.encoder = nn.ModuleList(Block(config) for _ in range(config.encoder_layers))
        self.encoder_norm = nn.RMSNorm(config.hidden_size, eps=1e-5)
        features = config.slot_dims * (1 + 2 * config.fourier_octaves)
        self.to_slot = nn.ModuleDict(
            {name: nn.Linear(config.hidden_size, config.slot_dims) for name in config.quantizations}
        )
        self.from_slot = nn.ModuleDict(
            {name: nn.Linear(features, config.hidden_size) for name in config.quantizations}
        )
        self.decoder = nn.ModuleList(Block(config) for _ in range(config.decoder_layers))
        self.decoder_norm = nn.RMSNorm(config.hidden_size, eps=1e-5)
        self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.init_weights()

    def _init_weights(self, module: nn.Module) -> None:
        std = self.config.initializer_range
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=std)
        elif isinstance(module, nn.RMSNorm):
            nn.init.ones_(module.weight)

    def encode_states(self, input_ids: Tensor, mask: Tensor | None) -> Tensor:
        """Run the encoder: ids (B, T) and boolean mask (B, T) to states (B, T, H)."""
        # Rows of the tied head are scaled for the logits; the blocks expect unit scale.
        x = F.rms_norm(self.embedding(input_ids), (self.config.hidden_size,), eps=_EPS)
        return self._run(self.encoder, self.encoder_norm, x, mask)

    def to_codes(self, states: Tensor, quantization: str) -> Tensor:
        """States (B, T, H) to latent codes (B, T, s), float, each number in [-1, 1]."""
        # bfloat16 cannot represent int8 steps near 1: under autocast, back to full precision.
        return F.hardtanh(self.to_slot[quantization](states).to(self.dtype))

    def quantize(self, codes: Tensor, quantization: str) -> Tensor:
        """Codes (B, T, s) rounded to the quantization's steps: whole numbers from -127 to 127."""
        step = self.config.quantizations[quantization]
        limit = LEVELS // step  # steps on either side of zero
        return torch.round((torch.round(codes * (LEVELS / step))).clamp(-limit, limit) * step)

    def decode_codes(self, codes: Tensor, mask: Tensor | None, quantization: str) -> Tensor:
        """Codes (B, T, s) and boolean mask (B, T) to logits (B, T, V)."""
        logits: Tensor = self.head(self.decode_states(codes, mask, quantization))
        return logits

    def decode_states(self, codes: Tensor, mask: Tensor | None, quantization: str) -> Tensor:
        """Codes (B, T, s) and boolean mask (B, T) to the decoder's last states (B, T, H)."""
        slots = self.from_slot[quantization](self.fourier_features(codes))
        return self._run(self.decoder, self.decoder_norm, slots, mask)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        quantization: str = "fine",
        noise: Tensor | None = None,
    ) -> AutoencoderOutput:
        """Encode, quantize, decode and compare.

        Args:
            input_ids: int64 (B, T).
            attention_mask: bool (B, T), True on tokens; None means all.
            quantization: One of the configuration's.
            noise: Uniform in (-0.5, 0.5), (B, T, s); scaled by the quantization step it replaces
                the rounding. None: real rounding with a straight-through gradient.
        """
        mask = None if attention_mask is None else attention_mask.bool()
        codes = self.to_codes(self.encode_states(input_ids, mask), quantization)
        if noise is None:
            codes = codes + (self.quantize(codes, quantization) / LEVELS - codes).detach()
        else:
            codes = codes + noise * (self.config.quantizations[quantization] / LEVELS)
        hidden = self.decode_states(codes, mask, quantization)
        indices, target = _real_tokens(input_ids, mask)
        logits = self.head(hidden.flatten(0, 1).index_select(0, indices))
        loss = F.cross_entropy(logits.float(), target, ignore_index=_IGNORED)
        correct = (logits.detach().argmax(-1) == target).sum()
        count = (target != _IGNORED).sum()
        return AutoencoderOutput(loss, correct, count)

    def fourier_features(self, codes: Tensor) -> Tensor:
        """Codes (B, T, s) with sines and cosines of each dim: (B, T, s (1 + 2 octaves))."""
        octaves = 2.0 ** torch.arange(self.config.fourier_octaves, device=codes.device)
        angles = (math.pi * codes.unsqueeze(-1) * octaves).flatten(-2)  # (B, T, s * octaves)
        return torch.cat([codes, angles.sin(), angles.cos()], dim=-1)

    def _run(
        self, blocks: nn.ModuleList, norm: nn.Module, x: Tensor, mask: Tensor | None
    ) -> Tensor:
        x = x.to(self.dtype)  # the residual path stays in full precision under autocast
        rope = rotary_angles(x.shape[1], self.config, x.device, x.dtype)
        visible = None if mask is None else mask[:, None, None, :]  # (B, 1, 1, T)
        for block in blocks:
            x = block(x, rope, visible)
        y: Tensor = norm(x)
        return y


def _real_tokens(input_ids: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Indices (N,) of a batch's tokens among its B T positions, and their ids (N,).

    Padding is dropped before the head, which is most of the arithmetic. N is rounded up with ids
    that the loss ignores: bfloat16 kernels are compiled and kept for every N that occurs, and a run
    with thousands of different N would grow by gigabytes.
    """
    flat = input_ids.flatten()
    if mask is None:
        indices = torch.arange(len(flat), device=flat.device)
    else:
        indices = mask.flatten().nonzero().squeeze(1)
    extra = -len(indices) % _HEAD_ROWS
    return F.pad(indices, (0, extra)), F.pad(flat[indices], (0, extra), value=_IGNORED)
