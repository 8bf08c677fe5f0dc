"""AdamW and its learning rate schedule, shared by every training loop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from agentmem.training.config import OptimizerConfig


def adamw(
    parameters: Iterable[nn.Parameter] | list[dict[str, Any]], config: OptimizerConfig
) -> torch.optim.Optimizer:
    """AdamW for parameters or parameter groups."""
    return torch.optim.AdamW(
        parameters,
        lr=config.lr,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
    )


def decay_matrices(parameters: Iterable[nn.Parameter]) -> list[dict[str, Any]]:
    """Parameter groups for `adamw`: weight decay on matrices only, not on scales and biases."""
    parameters = list(parameters)
    return [
        {"params": [p for p in parameters if p.ndim >= 2]},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def set_rate(optimizer: torch.optim.Optimizer, config: OptimizerConfig, step: int) -> None:
    """Set an optimizer's learning rate for a step."""
    for group in optimizer.param_groups:
        group["lr"] = config.lr * schedule(step / config.steps, config)


def schedule(done: float, config: OptimizerConfig) -> float:
    """Fraction of the full learning rate after the fraction ``done`` of the steps."""
    if config.warmup and done < config.warmup:
        return done / config.warmup
    if config.decay and done > 1 - config.decay:
        return (1 - done) / config.decay
    return 1.0
