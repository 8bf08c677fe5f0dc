"""A causal language model of the autoencoder's size: what next-token training alone retains.

It serves the retention study as one of the frozen encoders; nothing ships it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from agentmem.models.autoencoder.configuration import AutoencoderConfig
from agentmem.training.config import OptimizerConfig
from benchmarks.retention.fit import fit


def llama_sizes(like: AutoencoderConfig, *, layers: int) -> LlamaConfig:
    """A Llama with the width, heads and vocabulary of an autoencoder.

    Its feed-forward layers are gated and have three matrices where the autoencoder's have two,
    so two thirds of the inner width give the same number of parameters.
    """
    return LlamaConfig(
        vocab_size=like.vocab_size,
        hidden_size=like.hidden_size,
        intermediate_size=like.intermediate_size * 2 // 3,
        num_hidden_layers=layers,
        num_attention_heads=like.num_attention_heads,
        max_position_embeddings=like.max_tokens,
        tie_word_embeddings=True,
        use_cache=False,
    )


def fresh_causal(like: AutoencoderConfig, *, seed: int) -> LlamaForCausalLM:
    """An untrained causal language model with as many blocks as both stacks of an autoencoder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(llama_sizes(like, layers=like.encoder_layers + like.decoder_layers))


def train_causal(
    model: LlamaForCausalLM,
    batch: Callable[[int], Tensor],
    config: OptimizerConfig,
    *,
    precision: Literal["no", "bf16"],
    report: Callable[[int, float], None],
) -> None:
    """Train on next-token prediction, in place.

    Args:
        model: Freshly made.
        batch: The ids of a step, int64 (B, T).
        config: AdamW, its schedule and the number of steps.
        precision: As for `fit`.
        report: As for `fit`.
    """

    def loss_at(step: int) -> Tensor:
        ids = batch(step)
        loss: Tensor = model(input_ids=ids, labels=ids).loss
        return loss

    fit(model, loss_at, config, precision=precision, report=report)
