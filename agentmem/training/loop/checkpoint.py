"""Checkpoints of a run: written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

_MODEL, _OPTIMISER, _STATE = "model.safetensors", "optimiser.pt", "state.json"


def save_checkpoint(
    folder: Path,
    model: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    state: dict[str, Any],
) -> None:
    """Write a checkpoint beside the old one and put it in its place by renaming."""
    fresh, old = _beside(folder)
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    fresh.mkdir(parents=True)
    # Parameters alone, and of those what learns: tied weights stand once, frozen ones nowhere.
    save_file(
        {name: p.detach() for name, p in model.named_parameters() if p.requires_grad},
        fresh / _MODEL,
    )
    torch.save(optimiser.state_dict(), fresh / _OPTIMISER)
    (fresh / _STATE).write_text(json.dumps(state))
    for file in fresh.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(
    folder: Path, model: torch.nn.Module, optimiser: torch.optim.Optimizer
) -> dict[str, Any] | None:
    """Load a checkpoint into model and optimiser; None if there is none.

    A crash between the two renamings leaves the old one and the new one, complete, beside their
    place: the new one is taken then.
    """
    fresh, old = _beside(folder)
    if not folder.exists() and old.exists():
        fresh.rename(folder)
    if not folder.exists():
        return None
    weights = load_file(folder / _MODEL)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(weights[name])
    # Wherever it was written: an optimiser takes its state to where its parameters are.
    kept = torch.load(folder / _OPTIMISER, map_location="cpu", weights_only=True)
    optimiser.load_state_dict(kept)
    state: dict[str, Any] = json.loads((folder / _STATE).read_text())
    return state


def _beside(folder: Path) -> tuple[Path, Path]:
    return folder.with_name(folder.name + ".tmp"), folder.with_name(folder.name + ".old")
