"""Run folders: claimed by one configuration, with a log that ends at the last checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

from agentmem.errors import ConfigError
from agentmem.training.config import Section


def claim_run(folder: Path, config: Section) -> None:
    """Create the run's folder, or check that the existing one belongs to the same run.

    Args:
        folder: The run's folder.
        config: Recorded in ``run.json``.

    Raises:
        ConfigError: a run of that name exists with another configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record, text = folder / "run.json", config.model_dump_json(indent=2)
    if record.exists() and record.read_text(encoding="utf-8") != text:
        raise ConfigError(
            f"run {folder.name!r} exists with another configuration: choose another name, or "
            f"remove its folder {str(folder)!r}"
        )
    record.write_text(text, encoding="utf-8")


def rewind(log: Path, step: int) -> None:
    """Drop the lines logged after the checkpoint that a run resumes from; they will be repeated."""
    if log.exists():
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
        log.write_text("".join(kept), encoding="utf-8")


def local_model(folder: str) -> str:
    """Check that a folder contains a model.

    Raises:
        ConfigError: there is no model in it.
    """
    if not (Path(folder) / "config.json").is_file():
        raise ConfigError(f"no model in {folder!r}: it has no config.json")
    return folder
