"""Sizes of the latent reranker, as its config.json stores them."""

from __future__ import annotations

from dataclasses import dataclass

from agentmem.models.layers.configuration import NetworkConfig, check_positive


@dataclass(frozen=True)
class LatentRerankerConfig(NetworkConfig):
    """Sizes of a `LatentReranker`.

    Args:
        vocab_size: V, token ids of the bundle's tokenizer.
        hidden_size: H, width of token embeddings.
        intermediate_size: Width of the layers that compare a query token with its matches.
        codes: Number of codes that a slot can hold, the size of the token table.
        pad_token_id: Id used for padding.
    """

    model_type = "agentmem-reranker"

    vocab_size: int = 8192
    hidden_size: int = 64
    intermediate_size: int = 128
    codes: int = 255**2
    pad_token_id: int = 0

    def __post_init__(self) -> None:
        check_positive(self, "vocab_size", "hidden_size", "intermediate_size", "codes")
