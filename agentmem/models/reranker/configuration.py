"""Sizes of the latent reranker, as its config.json stores them."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig


class LatentRerankerConfig(PretrainedConfig):
    """Sizes of a `LatentReranker`.

    Args:
        vocab_size: V, token ids of the bundle's tokenizer.
        hidden_size: H, width of token embeddings.
        intermediate_size: Width of the layers that compare a query token with its matches.
        codes: Number of codes that a slot can hold, the size of the token table.
        pad_token_id: Id used for padding.
    """

    model_type = "agentmem-reranker"

    def __init__(
        self,
        vocab_size: int = 8192,
        hidden_size: int = 64,
        intermediate_size: int = 128,
        codes: int = 255**2,
        pad_token_id: int = 0,
        **kwargs: Any,
    ) -> None:
        sizes = {
            "vocab_size": vocab_size,
            "hidden_size": hidden_size,
            "intermediate_size": intermediate_size,
            "codes": codes,
        }
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name}={size!r} must be positive")
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.codes = codes
        self.pad_token_id = pad_token_id
        super().__init__(**kwargs)
