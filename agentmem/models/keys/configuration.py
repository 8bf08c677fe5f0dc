"""The shape of the built-in key encoder."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig


class KeyEncoderConfig(PretrainedConfig):
    """Sizes of a `KeyEncoder`.

    Args:
        vocab_size: Number of token ids of the bundle's tokenizer.
        state_size: H of the autoencoder whose states it reads.
        hidden_size: Width of its own token vectors and its mixing layer.
        key_dims: K, dims of a key.
        pad_token_id: Id that fills a batch.
    """

    model_type = "agentmem-keys"

    def __init__(
        self,
        vocab_size: int = 8192,
        state_size: int = 192,
        hidden_size: int = 128,
        key_dims: int = 128,
        pad_token_id: int = 0,
        **kwargs: Any,
    ) -> None:
        sizes = {
            "vocab_size": vocab_size,
            "state_size": state_size,
            "hidden_size": hidden_size,
            "key_dims": key_dims,
        }
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name}={size!r} must be positive")
        self.vocab_size = vocab_size
        self.state_size = state_size
        self.hidden_size = hidden_size
        self.key_dims = key_dims
        self.pad_token_id = pad_token_id
        super().__init__(**kwargs)
