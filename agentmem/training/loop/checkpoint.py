"""Atomic checkpoints: weights, optimizer state and step."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

_MODEL, _OPTIMIZER, _STATE = "model.safetensors", "optimizer.pt", "state.json"


def save_checkpoint(
    folder: Path,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
) -> None:
    """Write a checkpoint next to the old one and replace it by renaming."""
    fresh, old = _temporary(folder)
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    fresh.mkdir(parents=True)
    # Trainable parameters only: tied weights appear once, frozen ones not at all.
    save_file(
        {name: p.detach() for name, p in model.named_parameters() if p.requires_grad},
        fresh / _MODEL,
    )
    torch.save(optimizer.state_dict(), fresh / _OPTIMIZER)
    (fresh / _STATE).write_text(json.dumps(state))
    for file in fresh.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(
    folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any] | None:
    """Load a checkpoint into model and optimizer; None if there is none.

    A crash between the two renames leaves both the old and the new one, complete, under temporary
    names; the new one is used then.
    """
    fresh, old = _temporary(folder)
    if not folder.exists() and old.exists():
        fresh.rename(folder)
    if not folder.exists():
        return None
    weights = load_file(folder / _MODEL)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(weights[name])
    # Loaded on the CPU: the optimizer moves its state to the device of its parameters.
    saved = torch.load(folder / _OPTIMIZER, map_location="cpu", weights_only=True)
    optimizer.load_state_dict(saved)
    state: dict[str, Any] = json.loads((folder / _STATE).read_text())
    return state


def _temporary(folder: Path) -> tuple[Path, Path]:
    return folder.with_name(folder.name + ".tmp"), folder.with_name(folder.name + ".old")
