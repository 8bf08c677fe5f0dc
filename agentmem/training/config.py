"""What a training run is told: a TOML file, checked before any work."""

from __future__ import annotations

import inspect
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from transformers import PretrainedConfig

from agentmem.errors import ConfigError
from agentmem.models.autoencoder.configuration import AutoencoderConfig
from agentmem.models.keys.configuration import KeyEncoderConfig
from agentmem.models.reranker.configuration import LatentRerankerConfig

Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A part of a run's configuration: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(Section):
    """Which files are read and how windows are cut from them."""

    train: dict[str, Positive] = Field(
        min_length=1, description="file of the corpus folder -> share of the rows"
    )
    dev: list[str] = Field(description="files for the evaluation during training")
    tokenizer: str = Field(description="tokenizer folder")
    lengths: list[Count] = Field(
        default=[32, 64, 128, 256], min_length=1, description="window lengths, tokens"
    )
    tokens_per_step: int = Field(default=4096, gt=0)
    random_share: float = Field(default=0.08, ge=0, le=1, description="rows of random ids")


class OptimiserConfig(Section):
    """AdamW with warm-up, a constant stretch and a linear fall to zero."""

    steps: int = Field(gt=0)
    lr: float = Field(default=1e-3, gt=0)
    warmup: float = Field(default=0.02, ge=0, le=1, description="share of the steps")
    decay: float = Field(default=0.4, ge=0, le=1, description="share of the steps, at the end")
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = Field(default=1e-6, gt=0, description="steps fade where gradients are below it")
    weight_decay: float = Field(default=0.01, ge=0)
    clip: float = Field(default=1.0, gt=0)


class RunConfig(Section):
    """A run of `agentmem train autoencoder`."""

    name: str
    seed: int = 0
    precision: Literal["no", "bf16"] = "bf16"
    threads: int = Field(default=2, gt=0, description="torch threads on a CPU")
    turns: list[str] = Field(
        default=["standard"], min_length=1, description="densities, trained in turn"
    )
    round_from: float = Field(
        default=0.9, ge=0, le=1, description="share of steps with noise, not rounding"
    )
    eval_every: int = Field(default=250, gt=0)
    save_every: int = Field(default=250, gt=0)
    start: str | None = Field(default=None, description="model folder to start from")
    model: dict[str, Any] = Field(default_factory=dict, description="AutoencoderConfig arguments")
    data: DataConfig
    optimiser: OptimiserConfig

    @field_validator("model")
    @classmethod
    def _sizes(cls, given: dict[str, Any]) -> dict[str, Any]:
        return _arguments(AutoencoderConfig, given)


def _arguments(
    kind: type[PretrainedConfig],
    given: dict[str, Any],
    *,
    derived: frozenset[str] = frozenset(),
    also: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Arguments of a model's configuration, checked: the class itself takes any name at all."""
    parameters = inspect.signature(kind).parameters
    known = [name for name in (*parameters, *also) if name not in derived and name != "kwargs"]
    for name in given:
        if name not in known:
            raise ValueError(f"unknown key {name!r}: known are {', '.join(known)}")
    try:
        kind(**given)
    except Exception as error:  # every version of transformers has kinds of its own
        raise ValueError(" ".join(str(error).split())) from error
    return given


SectionT = TypeVar("SectionT", bound=Section)


def load_config(path: str | Path, kind: type[SectionT]) -> SectionT:
    """Read and check a TOML file.

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


class KeysConfig(Section):
    """A run of `agentmem train keys`."""

    name: str
    seed: int = 0
    threads: int = Field(default=2, gt=0)
    tokenizer: str = Field(description="tokenizer folder")
    questions: list[str] = Field(description="question files of the corpus folder")
    leave_out: list[str] = Field(default=[], description="sources of questions kept for choosing")
    dev_questions: list[str] = Field(description="question files for the evaluation")
    teacher: str | None = Field(
        default=None, description="a sentence encoder's folder, or a package that carries one"
    )
    conversations: list[str] = Field(default=[], description="files with turns it teaches")
    turns: dict[str, Count] = Field(default={}, description="how many turns of each source")
    questions_per_source: int = Field(default=3000, ge=0, description="how many it teaches")
    questions_per_step: int = Field(default=128, gt=1)
    lessons_per_step: int = Field(default=128, gt=1)
    max_tokens: int = Field(default=64, gt=0, description="longest text in training")
    temperature: float = Field(default=0.05, gt=0)
    eval_every: int = Field(default=250, gt=0)
    save_every: int = Field(default=250, gt=0)
    model: dict[str, Any] = Field(default_factory=dict, description="KeyEncoderConfig arguments")
    optimiser: OptimiserConfig

    @field_validator("model")
    @classmethod
    def _sizes(cls, given: dict[str, Any]) -> dict[str, Any]:
        # The tokenizer says this one.
        return _arguments(KeyEncoderConfig, given, derived=frozenset({"vocab_size"}))


class RerankerConfig(Section):
    """A run of `agentmem train reranker`."""

    name: str
    seed: int = 0
    threads: int = Field(default=2, gt=0)
    tokenizer: str = Field(description="tokenizer folder")
    autoencoder: str = Field(description="folder of the frozen autoencoder")
    questions: list[str] = Field(description="question files of the corpus folder")
    leave_out: list[str] = Field(default=[], description="sources of questions kept for choosing")
    dev_questions: list[str] = Field(description="question files for the evaluation")
    questions_per_step: int = Field(default=24, gt=1)
    candidates: int = Field(default=20, gt=1, description="pieces to choose from")
    max_tokens: int = Field(default=56, gt=0, description="longest text in training")
    eval_every: int = Field(default=500, gt=0)
    save_every: int = Field(default=500, gt=0)
    model: dict[str, Any] = Field(
        default_factory=dict, description="LatentRerankerConfig arguments"
    )
    optimiser: OptimiserConfig

    @field_validator("model")
    @classmethod
    def _sizes(cls, given: dict[str, Any]) -> dict[str, Any]:
        # The tokenizer and the autoencoder say these two.
        return _arguments(LatentRerankerConfig, given, derived=frozenset({"vocab_size", "cells"}))
