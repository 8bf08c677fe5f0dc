"""Sizes of the memory autoencoder, as its config.json stores them."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig

# A latent of value z in [-1, 1] is stored as round(127 z).
LEVELS = 127


class AutoencoderConfig(PretrainedConfig):
    """Sizes of a `MemoryAutoencoder`.

    Some names are older than the code's own words and stay, because config.json files and the
    fingerprints of bundles depend on them: a density is a quantization.

    Args:
        vocab_size: Number of token ids of the bundle's tokenizer.
        hidden_size: H, the width of both stacks.
        intermediate_size: Width of the feed-forward layers.
        num_attention_heads: Heads of every attention layer.
        encoder_layers: Blocks between tokens and latents.
        decoder_layers: Blocks between latents and logits.
        slot_dims: s, numbers per token.
        densities: Step of each quantization, in int8 steps, finest first. Every quantization has
            projections of its own between states and slots; all other weights are shared.
        tokens_per_vector: Tokens that share one memory vector; D = s * tokens_per_vector.
        max_tokens: Longest chunk.
        lift_octaves: Octaves of the Fourier features of each dim that the decoder sees: adjacent
            int8 codes stand for different tokens, and a linear map alone separates them slowly.
        rope_theta: Base of the rotary positions.
        initializer_range: Standard deviation of freshly initialized weights.
        pad_token_id: Id used for padding; never decoded.
    """

    model_type = "agentmem-autoencoder"

    def __init__(
        self,
        vocab_size: int = 8192,
        hidden_size: int = 192,
        intermediate_size: int = 768,
        num_attention_heads: int = 6,
        encoder_layers: int = 2,
        decoder_layers: int = 2,
        slot_dims: int = 2,
        densities: dict[str, float] | None = None,
        tokens_per_vector: int = 16,
        max_tokens: int = 256,
        lift_octaves: int = 7,
        rope_theta: float = 10_000.0,
        initializer_range: float = 0.02,
        pad_token_id: int = 0,
        **kwargs: Any,
    ) -> None:
        sizes = {
            "vocab_size": vocab_size,
            "hidden_size": hidden_size,
            "intermediate_size": intermediate_size,
            "num_attention_heads": num_attention_heads,
            "slot_dims": slot_dims,
            "tokens_per_vector": tokens_per_vector,
            "max_tokens": max_tokens,
        }
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name}={size!r} must be positive")
        if hidden_size % num_attention_heads or (hidden_size // num_attention_heads) % 2:
            raise ValueError(
                f"hidden_size={hidden_size!r} must split into num_attention_heads="
                f"{num_attention_heads!r} heads of even width"
            )
        if max_tokens % tokens_per_vector:
            raise ValueError(
                f"max_tokens={max_tokens!r} must be a multiple of "
                f"tokens_per_vector={tokens_per_vector!r}"
            )
        # Sorted here, because config.json is written with its keys in alphabetical order.
        densities = dict(sorted((densities or {"standard": 1.0}).items(), key=lambda one: one[1]))
        for name, width in densities.items():
            if not 1 <= width <= LEVELS:
                raise ValueError(f"densities[{name!r}]={width!r} must be from 1 to {LEVELS}")
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_attention_heads = num_attention_heads
        self.encoder_layers = encoder_layers
        self.decoder_layers = decoder_layers
        self.slot_dims = slot_dims
        self.densities = densities
        self.tokens_per_vector = tokens_per_vector
        self.max_tokens = max_tokens
        self.lift_octaves = lift_octaves
        self.rope_theta = rope_theta
        self.initializer_range = initializer_range
        kwargs.setdefault("tie_word_embeddings", True)
        self.pad_token_id = pad_token_id
        super().__init__(**kwargs)

    @property
    def vector_dims(self) -> int:
        """D, dims of one memory vector."""
        return self.slot_dims * self.tokens_per_vector
