"""Sizes of the memory autoencoder, as its config.json stores them."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

from agentmem.models.layers.configuration import NetworkConfig, check_positive

# A latent of value z in [-1, 1] is stored as round(127 z).
LEVELS = 127
# Values that one dim of a code can take.
VALUES_PER_DIM = 2 * LEVELS + 1


@dataclass(frozen=True)
class AutoencoderConfig(NetworkConfig):
    """Sizes of a `MemoryAutoencoder`.

    Args:
        vocab_size: Number of token ids of the bundle's tokenizer.
        hidden_size: H, the width of both stacks.
        intermediate_size: Width of the feed-forward layers.
        num_attention_heads: Heads of every attention layer.
        encoder_layers: Blocks between tokens and latents.
        decoder_layers: Blocks between latents and logits.
        slot_dims: s, numbers per token.
        quantizations: Step of each quantization, in int8 steps, finest first. Every quantization
            has projections of its own between states and slots; all other weights are shared.
        tokens_per_vector: Tokens that share one memory vector; D = s * tokens_per_vector.
        max_tokens: Longest chunk.
        fourier_octaves: Octaves of the Fourier features of each dim that the decoder sees: adjacent
            int8 codes stand for different tokens, and a linear map alone separates them slowly.
        rope_theta: Base of the rotary positions.
        initializer_range: Standard deviation of freshly initialized weights.
        pad_token_id: Id used for padding; never decoded.
    """

    model_type = "agentmem-autoencoder"
    former_names = MappingProxyType(
        {"densities": "quantizations", "lift_octaves": "fourier_octaves"}
    )

    vocab_size: int = 8192
    hidden_size: int = 192
    intermediate_size: int = 768
    num_attention_heads: int = 6
    encoder_layers: int = 2
    decoder_layers: int = 2
    slot_dims: int = 2
    quantizations: dict[str, float] = field(default_factory=lambda: {"fine": 1.0})
    tokens_per_vector: int = 16
    max_tokens: int = 256
    fourier_octaves: int = 7
    rope_theta: float = 10_000.0
    initializer_range: float = 0.02
    pad_token_id: int = 0

    def __post_init__(self) -> None:
        check_positive(self, "vocab_size", "hidden_size", "intermediate_size")
        check_positive(self, "num_attention_heads", "slot_dims", "tokens_per_vector", "max_tokens")
        heads = self.num_attention_heads
        if self.hidden_size % heads or (self.hidden_size // heads) % 2:
            raise ValueError(
                f"hidden_size={self.hidden_size!r} must split into num_attention_heads="
                f"{heads!r} heads of even width"
            )
        if self.max_tokens % self.tokens_per_vector:
            raise ValueError(
                f"max_tokens={self.max_tokens!r} must be a multiple of "
                f"tokens_per_vector={self.tokens_per_vector!r}"
            )
        # Sorted here, because config.json is written with its keys in alphabetical order.
        quantizations = dict(sorted(self.quantizations.items(), key=lambda one: one[1]))
        if not quantizations:
            raise ValueError("quantizations must name one quantization or more")
        for name, width in quantizations.items():
            if not 1 <= width <= LEVELS:
                raise ValueError(f"quantizations[{name!r}]={width!r} must be from 1 to {LEVELS}")
        object.__setattr__(self, "quantizations", quantizations)

    @property
    def vector_dims(self) -> int:
        """D, dims of one memory vector."""
        return self.slot_dims * self.tokens_per_vector
