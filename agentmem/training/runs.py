"""What every training run shares: a folder of its own and a learning-rate schedule."""

from __future__ import annotations

from pathlib import Path

from agentmem.errors import ConfigError
from agentmem.training.config import OptimiserConfig, Section


def claim_run(folder: Path, config: Section) -> None:
    """Make the run's folder, or see that the one there belongs to the same configuration.

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


def schedule(done: float, config: OptimiserConfig) -> float:
    """Share of the full learning rate after the share ``done`` of the steps."""
    if config.warmup and done < config.warmup:
        return done / config.warmup
    if config.decay and done > 1 - config.decay:
        return (1 - done) / config.decay
    return 1.0
