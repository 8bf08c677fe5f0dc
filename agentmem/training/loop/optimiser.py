"""AdamW as every training loop has it, and its learning rate from step to step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from agentmem.training.config import OptimiserConfig


def adamw(
    parameters: Iterable[nn.Parameter] | list[dict[str, Any]], config: OptimiserConfig
) -> torch.optim.Optimizer:
    """AdamW as the configuration says, of parameters or of groups of them."""
    return torch.optim.AdamW(
        parameters,
        lr=config.lr,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
    )


def decay_matrices(parameters: Iterable[nn.Parameter]) -> list[dict[str, Any]]:
    """Groups for `adamw`: only matrices decay; scales and offsets do not."""
    parameters = list(parameters)
    return [
        {"params": [p for p in parameters if p.ndim >= 2]},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def set_rate(optimiser: torch.optim.Optimizer, config: OptimiserConfig, step: int) -> None:
    """Give an optimiser the learning rate of a step."""
    for group in optimiser.param_groups:
        group["lr"] = config.lr * schedule(step / config.steps, config)


def schedule(done: float, config: OptimiserConfig) -> float:
    """Share of the full learning rate after the share ``done`` of the steps."""
    if config.warmup and done < config.warmup:
        return done / config.warmup
    if config.decay and done > 1 - config.decay:
        return (1 - done) / config.decay
    return 1.0
