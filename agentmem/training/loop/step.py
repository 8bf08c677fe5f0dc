"""The steps of a training run: learning rate, update, metrics, evaluation, checkpoints, stopping.

A training loop prepares its data and its model, and then reads::

    run = TrainingRun(accelerator, folder, config, report=report, stop_after=stop_after)
    run.start(network, adamw(network.parameters(), config.optimizer))
    for step in run.steps():
        loss = ...  # a pass of run.model, which is the network as the accelerator wrapped it
        run.update(loss)
        run.record({"loss": loss.item()}, evaluate)
    if run.is_complete and accelerator.is_main_process:
        network.save_pretrained(folder / "model")
    run.close()
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from agentmem.training.config import LoopConfig
from agentmem.training.loop.checkpoint import save_checkpoint
from agentmem.training.loop.optimizer import set_rate
from agentmem.training.loop.setup import claim, finish, resume

Report = Callable[[int, dict[str, Any]], None]
Evaluate = Callable[[], dict[str, float]]


def no_report(step: int, figures: dict[str, Any]) -> None:
    """A `Report` that does nothing."""


class TrainingRun:
    """One run in its folder; it resumes from its last checkpoint.

    Attributes:
        folder: Holds ``run.json``, ``metrics.jsonl`` and ``checkpoint/``.
        model: The network as the accelerator wrapped it; set by `start`.
        done: How many steps are done; set by `start`.
        is_complete: Whether every step is done.
    """

    model: nn.Module
    done: int

    def __init__(
        self,
        accelerator: Accelerator,
        folder: Path,
        config: LoopConfig,
        *,
        report: Report = no_report,
        stop_after: int | None = None,
        stop_after_s: float | None = None,
        on_evaluation: Callable[[Path], None] | None = None,
    ) -> None:
        """Claim the run's folder, before any expensive work.

        Args:
            accelerator: From `start_processes`.
            folder: The run's folder; created if absent.
            config: The run's configuration, recorded in ``run.json``.
            report: Called with the step and its metrics after every step.
            stop_after: Save a checkpoint and stop after this many steps.
            stop_after_s: Save a checkpoint and stop after this many seconds.
            on_evaluation: Called with the path of ``metrics.jsonl`` after each evaluation.

        Raises:
            ConfigError: a run of that name exists with another configuration.
        """
        self.folder = folder
        self.is_complete = False
        self._accelerator = accelerator
        self._config = config
        self._report = report
        self._stop_after, self._stop_after_s = stop_after, stop_after_s
        self._began = time.monotonic()
        self._is_stopping = False
        self._on_evaluation = on_evaluation
        claim(accelerator, folder, config)

    def start(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Wrap the network for its processes, and load the last checkpoint if there is one."""
        self._network = network
        self.model, self._optimizer = self._accelerator.prepare(network, optimizer)
        self.done = resume(self._accelerator, self.folder, network, self._optimizer)

    def steps(self) -> Iterator[int]:
        """The steps that are left, from 0; the learning rate of each is set before it begins."""
        for step in range(self.done, self._config.optimizer.steps):
            self._started = time.perf_counter()
            set_rate(self._optimizer, self._config.optimizer, step)
            yield step
            if self._is_stopping:
                return
        self.is_complete = True

    @property
    def lr(self) -> float:
        """Learning rate of the current step."""
        lr: float = self._optimizer.param_groups[0]["lr"]
        return lr

    @property
    def elapsed_s(self) -> float:
        """Seconds since the current step began."""
        return time.perf_counter() - self._started

    def update(self, loss: Tensor) -> None:
        """Backpropagate, clip the gradients, and take an optimizer step."""
        self._accelerator.backward(loss)
        self._accelerator.clip_grad_norm_(self.model.parameters(), self._config.optimizer.clip)
        self._optimizer.step()
        self._optimizer.zero_grad()

    def record(
        self, metrics: dict[str, Any], evaluate: Evaluate, *, log_every: int | None = None
    ) -> None:
        """End a step: evaluate, log, save a checkpoint and report, each when it is due.

        Only the main process does so.

        Args:
            metrics: Of the step.
            evaluate: Computes the metrics on held-out data, logged under ``dev``.
            log_every: Log also the metrics of every so many steps, and of the one before a stop;
                None logs with evaluations alone.
        """
        self.done += 1
        self._is_stopping = self._has_to_stop()
        if not self._accelerator.is_main_process:
            return
        done, is_last = self.done, self.done == self._config.optimizer.steps
        metrics = {"step": done, **metrics}
        is_evaluated = done % self._config.eval_every == 0 or is_last
        if is_evaluated:
            metrics["dev"] = evaluate()
        log = self.folder / "metrics.jsonl"
        if is_evaluated or (log_every and (done % log_every == 0 or self._is_stopping)):
            with log.open("a") as file:
                file.write(json.dumps(metrics) + "\n")
        if is_evaluated and self._on_evaluation is not None:
            self._on_evaluation(log)
        if done % self._config.save_every == 0 or is_last or self._is_stopping:
            checkpoint = self.folder / "checkpoint"
            save_checkpoint(checkpoint, self._network, self._optimizer, {"step": done})
        self._report(done, metrics)

    def close(self) -> None:
        """Leave the group of processes; see `finish`."""
        del self.model
        finish(self._accelerator)

    def _has_to_stop(self) -> bool:
        """Whether the run has to stop here; all its processes agree, whose clocks differ."""
        if self._stop_after is not None and self.done >= self._stop_after:
            return True
        if self._stop_after_s is None:
            return False
        is_late = time.monotonic() - self._began > self._stop_after_s
        flag = torch.tensor(int(is_late), device=self._accelerator.device)
        return bool(self._accelerator.reduce(flag, "sum"))
