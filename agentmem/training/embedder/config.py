"""What a run of `agentmem train embedder` is told."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from agentmem.models.embedder.configuration import KeyEncoderConfig
from agentmem.training.config import Count, OptimiserConfig, Section, model_arguments


class KeysConfig(Section):
    """A run of `agentmem train embedder`."""

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
        return model_arguments(KeyEncoderConfig, given, derived=frozenset({"vocab_size"}))
