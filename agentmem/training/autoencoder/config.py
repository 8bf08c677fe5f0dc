"""What a run of `agentmem train autoencoder` is told."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from agentmem.models.autoencoder.configuration import AutoencoderConfig
from agentmem.training.config import Count, OptimiserConfig, Positive, Section, model_arguments


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
        return model_arguments(AutoencoderConfig, given)
