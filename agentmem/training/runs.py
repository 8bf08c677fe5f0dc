"""A training run's folder: its own, with a log that goes as far as its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from agentmem.errors import ConfigError
from agentmem.training.config import Section


def claim_run(
    folder: Path, config: Section, origin: Mapping[str, str | None] | None = None
) -> None:
    """Make the run's folder, or see that the one there belongs to the same run.

    Args:
        folder: The run's.
        config: Kept in ``run.json``.
        origin: Fingerprints of the models that the run starts from, where the configuration does
            not tell them; kept in ``origin.json``.

    Raises:
        ConfigError: a run of that name exists with another configuration or other models.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder / "run.json", config.model_dump_json(indent=2), "another configuration")
    if origin is not None:
        _claim(folder / "origin.json", json.dumps(origin, indent=2) + "\n", "other models")


def _claim(record: Path, text: str, other: str) -> None:
    if record.exists() and record.read_text(encoding="utf-8") != text:
        run = record.parent
        raise ConfigError(
            f"run {run.name!r} exists with {other}: choose another name, or remove its folder "
            f"{str(run)!r}"
        )
    record.write_text(text, encoding="utf-8")


def rewind(log: Path, step: int) -> None:
    """Drop what a run logged after the checkpoint it goes on from: it will log that again."""
    if log.exists():
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
        log.write_text("".join(kept), encoding="utf-8")


def local_model(folder: str) -> str:
    """A model's folder, seen to be one: transformers would look elsewhere for one that is missing.

    Raises:
        ConfigError: there is no model in it.
    """
    if not (Path(folder) / "config.json").is_file():
        raise ConfigError(f"no model in {folder!r}: it has no config.json")
    return folder
