"""The training loop of the probes: a small network, a fixed number of steps, no checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from agentmem.training.config import OptimizerConfig
from agentmem.training.loop.optimizer import adamw, set_rate


def fit(
    network: nn.Module,
    loss_at: Callable[[int], Tensor],
    config: OptimizerConfig,
    *,
    precision: Literal["no", "bf16"],
    report: Callable[[int, float], None],
) -> None:
    """Train a network on the CPU and leave it in evaluation mode.

    Args:
        network: Changed in place.
        loss_at: The loss of a step, scalar, nats; called under autocast.
        config: AdamW and its schedule.
        precision: ``bf16`` for mixed precision.
        report: Called with the number of steps done and the last loss, nats.
    """
    optimizer = adamw(network.parameters(), config)
    network.train()
    for step in range(config.steps):
        set_rate(optimizer, config, step)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = loss_at(step)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        optimizer.step()
        optimizer.zero_grad()
        report(step + 1, loss.item())
    network.train(False)
