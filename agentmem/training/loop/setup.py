"""How every training loop begins and ends: its processes, its folder, its last checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import nn

from agentmem.training.config import Section
from agentmem.training.loop.checkpoint import load_checkpoint
from agentmem.training.loop.runs import claim_run, rewind


def start_processes(threads: int, *, resting: bool = False) -> Accelerator:
    """What runs the loop: this process alone, or one of those that a launcher started.

    Args:
        threads: Of torch, on a CPU.
        resting: Whether a step may leave some weights without a gradient.
    """
    torch.set_num_threads(threads)
    return Accelerator(
        # Its own mixed precision would wrap the model for good, the evaluation included.
        mixed_precision="no",
        cpu=not torch.cuda.is_available(),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)]
        if resting
        else [],
    )


def claim(accelerator: Accelerator, folder: Path, config: Section) -> None:
    """Claim the run's folder for all of its processes; see `claim_run`.

    Raises:
        ConfigError: a run of that name exists with another configuration.
    """
    if accelerator.is_main_process:
        claim_run(folder, config)
    accelerator.wait_for_everyone()


def resume(
    accelerator: Accelerator, folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer
) -> int:
    """Go on from the run's last checkpoint, if there is one, and rewind its figures to it.

    Args:
        accelerator: That of the run.
        folder: The run's.
        model: The bare one; changed in place, as is the optimiser.
        optimiser: As the accelerator prepared it.

    Returns:
        The steps that are done.
    """
    with accelerator.main_process_first():
        state = load_checkpoint(folder / "checkpoint", model, optimiser) or {"step": 0}
    done: int = state["step"]
    if accelerator.is_main_process:
        rewind(folder / "metrics.jsonl", done)
    return done


def finish(accelerator: Accelerator) -> None:
    """Leave the group of processes, once all are done.

    A process that ends with its group's threads still running is aborted now and then, so that the
    group is taken down. The prepared model must be gone before that: as the last to hold the group
    it would take it down while it keeps Python's lock, for which the group's thread may wait.
    """
    accelerator.free_memory()
    accelerator.wait_for_everyone()
    accelerator.end_training()
