"""The autoencoder whose latents are the memory.

What is unusual here:
- a *tape*: every token owns ``slot_dims`` numbers; 16 neighbouring slots, side by side, are one
  memory vector. Nothing is squeezed through a single position.
- both stacks are bidirectional inside the chunk, and the decoder fills all positions in one pass,
  so regeneration costs one forward pass and has no tail that drifts.
- latents are int8 with one scale for the whole model (tanh bounds them); training meets the
  quantiser as uniform noise first, and as the real rounding, passed straight through, at the end.
- the decoder reads each dim through sines and cosines of several octaves as well, and tokens
  start on a lattice of codes that those features tell apart (see `lattice`).

Method: Badger, arXiv 2602.13466 (parallel decoding from a frozen encoder's embedding); per-slot
codes as in CALM, arXiv 2510.27688.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.utils.generic import ModelOutput

from agentmem.models.autoencoder.configuration import LEVELS, AutoencoderConfig
from agentmem.models.layers.blocks import Block, rotary_angles

# The head sees a multiple of so many tokens.
_HEAD_ROWS = 256
_IGNORED = -100


@dataclass
class AutoencoderOutput(ModelOutput):
    """What a training step needs.

    Attributes:
        loss: Mean cross-entropy of the regenerated tokens, nats, scalar.
        correct: Number of tokens regenerated, scalar.
        count: Number of tokens, scalar.
    """

    loss: Tensor | None = None
    correct: Tensor | None = None
    count: Tensor | None = None


class MemoryAutoencoder(PreTrainedModel):
    """Tokens to int8 latents and back.

    Shapes: B chunks, T tokens, M = ceil(T / tokens_per_vector) memory vectors, D dims of each,
    H hidden size, V vocabulary.
    """

    config_class = AutoencoderConfig
    config: AutoencoderConfig
    base_model_prefix = "autoencoder"
    main_input_name = "input_ids"
    _tied_weights_keys = {"head.weight": "embedding.weight"}
    _no_split_modules = ["Block"]

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.encoder = nn.ModuleList(Block(config) for _ in range(config.encoder_layers))
        self.encoder_norm = nn.RMSNorm(config.hidden_size, eps=1e-5)
        lifted = config.slot_dims * (1 + 2 * config.lift_octaves)
        self.to_slot = nn.ModuleDict(
            {name: nn.Linear(config.hidden_size, config.slot_dims) for name in config.densities}
        )
        self.from_slot = nn.ModuleDict(
            {name: nn.Linear(lifted, config.hidden_size) for name in config.densities}
        )
        self.decoder = nn.ModuleList(Block(config) for _ in range(config.decoder_layers))
        self.decoder_norm = nn.RMSNorm(config.hidden_size, eps=1e-5)
        self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()  # type: ignore[no-untyped-call]

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

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding."""
        return self.embedding

    def get_output_embeddings(self) -> nn.Module:
        """The head, tied to the token embedding."""
        return self.head

    def encode_states(self, input_ids: Tensor, mask: Tensor | None) -> Tensor:
        """Run the encoder: ids (B, T) and boolean mask (B, T) to states (B, T, H)."""
        # Rows of the tied head have the scale that the head wants; the blocks want unit scale.
        x = F.rms_norm(self.embedding(input_ids), (self.config.hidden_size,))
        return self._run(self.encoder, self.encoder_norm, x, mask)

    def tape(self, states: Tensor, density: str) -> Tensor:
        """States (B, T, H) to the tape (B, T, s), float, each number in [-1, 1]."""
        # bfloat16 has no room for int8 steps near 1: under autocast, back to full precision.
        return F.hardtanh(self.to_slot[density](states).to(self.dtype))

    def quantise(self, tape: Tensor, density: str) -> Tensor:
        """The tape (B, T, s) rounded to the density's steps: whole numbers from -127 to 127."""
        width = self.config.densities[density]
        most = LEVELS // width  # steps on either side of zero
        return torch.round((torch.round(tape * (LEVELS / width))).clamp(-most, most) * width)

    def decode_tape(self, tape: Tensor, mask: Tensor | None, density: str) -> Tensor:
        """The tape (B, T, s) and boolean mask (B, T) to logits (B, T, V)."""
        logits: Tensor = self.head(self.decode_states(tape, mask, density))
        return logits

    def decode_states(self, tape: Tensor, mask: Tensor | None, density: str) -> Tensor:
        """The tape (B, T, s) and boolean mask (B, T) to what the head reads, (B, T, H)."""
        slots = self.from_slot[density](self.lift(tape))
        return self._run(self.decoder, self.decoder_norm, slots, mask)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        density: str = "standard",
        noise: Tensor | None = None,
    ) -> AutoencoderOutput:
        """Encode, quantise, decode and compare.

        Args:
            input_ids: int64 (B, T).
            attention_mask: bool (B, T), True on tokens; None means all.
            density: One of the configuration's.
            noise: Uniform in (-0.5, 0.5), (B, T, s): stands for the quantiser, scaled by its
                step. None: real rounding, with the gradient passed straight through.
        """
        mask = None if attention_mask is None else attention_mask.bool()
        tape = self.tape(self.encode_states(input_ids, mask), density)
        if noise is None:
            tape = tape + (self.quantise(tape, density) / LEVELS - tape).detach()
        else:
            tape = tape + noise * (self.config.densities[density] / LEVELS)
        hidden = self.decode_states(tape, mask, density)
        places, target = _real_tokens(input_ids, mask)
        logits = self.head(hidden.flatten(0, 1).index_select(0, places))
        loss = F.cross_entropy(logits.float(), target, ignore_index=_IGNORED)
        correct = (logits.detach().argmax(-1) == target).sum()
        count = (target != _IGNORED).sum()
        return AutoencoderOutput(loss, correct, count)

    def lift(self, tape: Tensor) -> Tensor:
        """The tape (B, T, s) with sines and cosines of its dims: (B, T, s (1 + 2 octaves))."""
        octaves = 2.0 ** torch.arange(self.config.lift_octaves, device=tape.device)
        angles = (math.pi * tape.unsqueeze(-1) * octaves).flatten(-2)  # (B, T, s * octaves)
        return torch.cat([tape, angles.sin(), angles.cos()], dim=-1)

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
    """Places (N,) of a batch's tokens among its B T positions, and their ids (N,).

    Padding is dropped before the head, which is most of the arithmetic. N is rounded up, with
    ids that the loss ignores: bfloat16 kernels are compiled and kept for every N that occurs,
    and a run that met thousands would grow by gigabytes.
    """
    flat = input_ids.flatten()
    if mask is None:
        places = torch.arange(len(flat), device=flat.device)
    else:
        places = mask.flatten().nonzero().squeeze(1)
    extra = -len(places) % _HEAD_ROWS
    return F.pad(places, (0, extra)), F.pad(flat[places], (0, extra), value=_IGNORED)


AutoConfig.register(AutoencoderConfig.model_type, AutoencoderConfig)
AutoModel.register(AutoencoderConfig, MemoryAutoencoder)
