"""Configuration of training runs: TOML files, validated before any work."""

from __future__ import annotations

import inspect
import tomllib
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentmem.errors import ConfigError
from agentmem.models.layers.configuration import NetworkConfig

Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A part of a run's configuration: frozen, unknown keys are rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class OptimizerConfig(Section):
    """AdamW with warm-up, a constant phase and a linear decay to zero."""

    steps: int = Field(gt=0)
    lr: float = Field(default=1e-3, gt=0)
    warmup: float = Field(default=0.02, ge=0, le=1, description="share of the steps")
    decay: float = Field(default=0.4, ge=0, le=1, description="share of the steps, at the end")
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = Field(
        default=1e-6, gt=0, description="updates shrink where gradients are below it"
    )
    weight_decay: float = Field(default=0.01, ge=0)
    clip: float = Field(default=1.0, gt=0)


class LoopConfig(Section):
    """What the loop of every training run needs."""

    name: str
    seed: int = 0
    threads: int = Field(default=2, gt=0, description="torch threads on a CPU")
    eval_every: int = Field(default=250, gt=0, description="steps between evaluations")
    save_every: int = Field(default=250, gt=0, description="steps between checkpoints")
    optimizer: OptimizerConfig


def model_arguments(
    kind: type[NetworkConfig], given: dict[str, Any], *, derived: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Validated arguments of a model's configuration."""
    parameters = inspect.signature(kind).parameters
    known = [name for name in parameters if name not in derived]
    for name in given:
        if name not in known:
            raise ValueError(f"unknown key {name!r}: known are {', '.join(known)}")
    try:
        kind(**given)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    return given


SectionT = TypeVar("SectionT", bound=Section)


def load_config(path: str | Path, kind: type[SectionT]) -> SectionT:
    """Read and validate a TOML file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or a key is missing, unknown or out of
            range.
    """
    path = Path(path)
    try:
        return kind.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"configuration file {path.name!r}: {error.strerror}") from error
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, item['loc']))} = {item['input']!r}: {item['msg']}"
            for item in error.errors()
        )
        raise ConfigError(f"{path.name!r}: {wrong}") from error
    except ValueError as error:
        raise ConfigError(f"{path.name!r} is not TOML in UTF-8: {error}") from error
