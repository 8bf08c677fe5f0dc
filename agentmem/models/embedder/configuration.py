"""Sizes of the built-in embedder, as its config.json stores them."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig


class EmbedderConfig(PretrainedConfig):
    """Sizes of an `EmbedderModel`.

    ``key_dims`` and ``model_type`` are older than the word embedder and stay, because config.json
    files and the fingerprints of bundles depend on them.

    Args:
        vocab_size: Number of token ids of the bundle's tokenizer.
        hidden_size: H, width of token embeddings and blocks.
        intermediate_size: Width of the feed-forward layers; 0 means 4 H.
        num_hidden_layers: Number of blocks.
        num_attention_heads: Heads of a block; each is H / heads wide, an even number.
        key_dims: K, dims of an embedding.
        rope_theta: Base of the rotary positions.
        pad_token_id: Id used for padding.
    """

    model_type = "agentmem-keys"

    def __init__(
        self,
        vocab_size: int = 8192,
        hidden_size: int = 128,
        intermediate_size: int = 0,
        num_hidden_layers: int = 2,
        num_attention_heads: int = 4,
        key_dims: int = 128,
        rope_theta: float = 10000.0,
        pad_token_id: int = 0,
        **kwargs: Any,
    ) -> None:
        sizes = {
            "vocab_size": vocab_size,
            "hidden_size": hidden_size,
            "num_hidden_layers": num_hidden_layers,
            "num_attention_heads": num_attention_heads,
            "key_dims": key_dims,
        }
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name}={size!r} must be positive")
        if hidden_size % (2 * num_attention_heads):
            raise ValueError(
                f"hidden_size={hidden_size!r} must be a multiple of twice "
                f"num_attention_heads={num_attention_heads!r}"
            )
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size or 4 * hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.key_dims = key_dims
        self.rope_theta = rope_theta
        self.pad_token_id = pad_token_id
        super().__init__(**kwargs)
