"""Sizes of the built-in embedder, as its config.json stores them."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from agentmem.models.layers.configuration import NetworkConfig, check_positive


@dataclass(frozen=True)
class EmbedderConfig(NetworkConfig):
    """Sizes of an `EmbedderModel`.

    ``model_type`` is older than the word embedder and stays, because it says what a config.json is.

    Args:
        vocab_size: Number of token ids of the bundle's tokenizer.
        hidden_size: H, width of token embeddings and blocks.
        intermediate_size: Width of the feed-forward layers; 0 means 4 H.
        num_hidden_layers: Number of blocks.
        num_attention_heads: Heads of a block; each is H / heads wide, an even number.
        embedding_dims: K, dims of an embedding.
        rope_theta: Base of the rotary positions.
        pad_token_id: Id used for padding.
    """

    model_type = "agentmem-keys"
    former_names = MappingProxyType({"key_dims": "embedding_dims"})

    vocab_size: int = 8192
    hidden_size: int = 128
    intermediate_size: int = 0
    num_hidden_layers: int = 2
    num_attention_heads: int = 4
    embedding_dims: int = 128
    rope_theta: float = 10000.0
    pad_token_id: int = 0

    def __post_init__(self) -> None:
        check_positive(self, "vocab_size", "hidden_size", "num_hidden_layers")
        check_positive(self, "num_attention_heads", "embedding_dims")
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError(
                f"hidden_size={self.hidden_size!r} must be a multiple of twice "
                f"num_attention_heads={self.num_attention_heads!r}"
            )
        if not self.intermediate_size:
            object.__setattr__(self, "intermediate_size", 4 * self.hidden_size)
