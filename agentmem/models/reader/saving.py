"""Saves and loads a reader's own weights: the adapters, without the language model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from agentmem.errors import ModelError, ModelNotFoundError
from agentmem.models.reader.configuration import FORMAT_VERSION, ReaderConfig
from agentmem.models.reader.modeling import ReadingModel
from agentmem.models.reader.rounding import restore_adapters, round_adapters
from agentmem_storage.interruptions import is_interruption

CONFIG, WEIGHTS = "reader.json", "adapter.safetensors"


def save_reader(model: ReadingModel, folder: str | Path) -> None:
    """Write configuration and trained weights, rounded as `round_adapters` does."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(model.config.model_dump_json(indent=2) + "\n", encoding="utf-8")
    save_file(round_adapters(model.trainable()), folder / WEIGHTS)


def load_config(folder: str | Path) -> ReaderConfig:
    """Read a reader's configuration.

    Raises:
        ModelNotFoundError: there is no reader in the folder.
        ModelError: its configuration is damaged, or of another version.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise ModelNotFoundError(f"no reader in {str(folder)!r}: it has no {CONFIG}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content.get("format_version") if isinstance(content, dict) else None
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ModelError(
                f"{str(path)!r} has format version {version}, this agentmem reads up to "
                f"{FORMAT_VERSION}: upgrade agentmem"
            )
        if isinstance(version, int) and version < FORMAT_VERSION:
            raise ModelError(
                f"{str(path)!r} has format version {version}, which is no longer read: train the "
                f"reader again, or use the one that comes with agentmem"
            )
        return ReaderConfig.model_validate(content)
    except ValueError as error:  # raised by json, by decoding, and by pydantic
        raise ModelError(f"{str(path)!r} is no reader's configuration: {error}") from error


def load_weights(model: ReadingModel, folder: str | Path, *, partial: bool = False) -> None:
    """Load trained weights into a model, in place.

    Args:
        model: The model.
        folder: Of a reader.
        partial: Accept a reader with adapters of a lower rank: what it lacks stays as it is, which
            changes nothing as long as it is untrained.

    Raises:
        ModelNotFoundError: the weights are missing.
        ModelError: they are damaged, or were made for another language model.
    """
    path = Path(folder) / WEIGHTS
    if not path.is_file():
        raise ModelNotFoundError(f"no reader in {str(folder)!r}: it has no {WEIGHTS}")
    try:
        weights = restore_adapters(load_file(path))
    except Exception as error:  # safetensors raises an untyped class of its own
        if is_interruption(error):
            raise
        raise ModelError(f"{str(path)!r} is damaged: {error}") from error
    expected = model.trainable()
    if not _fit(weights, expected, partial=partial):
        raise ModelError(
            f"the weights in {str(folder)!r} do not belong to this reader: they were made for "
            f"another language model than {model.config.language_model!r} as it is here, or for "
            f"another rank"
        )
    with torch.no_grad():
        for name, loaded in weights.items():
            expected[name][tuple(map(slice, loaded.shape))].copy_(loaded)


def _fit(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, partial: bool) -> bool:
    if not partial:
        return weights.keys() == expected.keys() and all(
            weight.shape == expected[name].shape for name, weight in weights.items()
        )
    return weights.keys() == expected.keys() and all(
        _part_of(name, weight.shape, expected[name].shape) for name, weight in weights.items()
    )


def _part_of(name: str, shape: torch.Size, whole: torch.Size) -> bool:
    """Whether a matrix of an adapter may be part of another one, of a higher rank."""
    rank = 0 if name.endswith(".down") else 1
    return len(shape) == len(whole) and all(
        n <= most if axis == rank else n == most
        for axis, (n, most) in enumerate(zip(shape, whole, strict=True))
    )
