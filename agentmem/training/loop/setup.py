"""Start and end of a training run: its processes, its folder, its last checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import nn

from agentmem.training.config import Section
from agentmem.training.loop.checkpoint import load_checkpoint
from agentmem.training.loop.runs import claim_run, rewind


def start_processes(threads: int, *, has_unused_parameters: bool = False) -> Accelerator:
    """The accelerator of this process, which runs alone or was started by a launcher.

    Args:
        threads: Number of torch threads on a CPU.
        has_unused_parameters: Whether a step may leave some parameters without a gradient.
    """
    torch.set_num_threads(threads)
    return Accelerator(
        # The accelerator's mixed precision would also apply to evaluations.
        mixed_precision="no",
        cpu=not torch.cuda.is_available(),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)]
        if has_unused_parameters
        else [],
    )


def claim(accelerator: Accelerator, folder: Path, config: Section) -> None:
    """Claim the run's folder on behalf of all its processes; see `claim_run`.

    Raises:
        ConfigError: a run of that name exists with another configuration.
    """
    if accelerator.is_main_process:
        claim_run(folder, config)
    accelerator.wait_for_everyone()


def resume(
    accelerator: Accelerator, folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer
) -> int:
    """Load the run's last checkpoint, if there is one, and truncate its log accordingly.

    Args:
        accelerator: The run's accelerator.
        folder: The run's folder.
        model: The network, not wrapped; changed in place, as is the optimizer.
        optimizer: As the accelerator prepared it.

    Returns:
        The number of steps done.
    """
    with accelerator.main_process_first():
        state = load_checkpoint(folder / "checkpoint", model, optimizer) or {"step": 0}
    done: int = state["step"]
    if accelerator.is_main_process:
        rewind(folder / "metrics.jsonl", done)
    return done


def finish(accelerator: Accelerator) -> None:
    """Leave the group of processes, once all are done.

    A process that exits while the group's threads are still running is sometimes aborted, so the
    group is destroyed explicitly. The wrapped model must be deleted before that: as the last owner
    of the group it would destroy it while holding the GIL, which the group's thread may wait for.
    """
    accelerator.free_memory()
    accelerator.wait_for_everyone()
    accelerator.end_training()
