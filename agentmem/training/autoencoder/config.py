"""Configuration of `agentmem train autoencoder`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from agentmem.models.autoencoder.configuration import AutoencoderConfig
from agentmem.training.config import Count, LoopConfig, Positive, Section, model_arguments


class DataConfig(Section):
    """The files to read, and how windows are cut from them."""

    train: dict[str, Positive] = Field(
        min_length=1, description="file of the corpus folder -> weight in sampling"
    )
    dev: list[str] = Field(description="files for the evaluation during training")
    tokenizer: str = Field(description="tokenizer folder")
    lengths: list[Count] = Field(
        default=[32, 64, 128, 256], min_length=1, description="window lengths, tokens"
    )
    tokens_per_step: int = Field(default=4096, gt=0)
    random_share: float = Field(default=0.08, ge=0, le=1, description="share of random rows")


class RunConfig(LoopConfig):
    """A run of `agentmem train autoencoder`."""

    precision: Literal["no", "bf16"] = "bf16"
    turns: list[str] = Field(
        default=["fine"], min_length=1, description="quantizations, trained in turn"
    )
    round_from: float = Field(
        default=0.9, ge=0, le=1, description="share of steps with noise in place of rounding"
    )
    start: str | None = Field(default=None, description="model folder to start from")
    model: dict[str, Any] = Field(default_factory=dict, description="AutoencoderConfig arguments")
    data: DataConfig

    @field_validator("model")
    @classmethod
    def _sizes(cls, given: dict[str, Any]) -> dict[str, Any]:
        return model_arguments(AutoencoderConfig, given)
