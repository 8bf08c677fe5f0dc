"""Configuration of `agentmem train embedder`."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from agentmem.models.embedder.configuration import EmbedderConfig
from agentmem.training.config import Count, LoopConfig, model_arguments


class EmbedderRunConfig(LoopConfig):
    """A run of `agentmem train embedder`; on-disk names such as ``lessons_per_step`` stay."""

    tokenizer: str = Field(description="tokenizer folder")
    questions: list[str] = Field(description="question files of the corpus folder")
    leave_out: list[str] = Field(
        default=[], description="sources of questions held out for model selection"
    )
    dev_questions: list[str] = Field(description="question files for the evaluation")
    teacher: str | None = Field(
        default=None, description="a sentence encoder's folder, or a package that carries one"
    )
    conversations: list[str] = Field(default=[], description="conversation files to distill from")
    turns: dict[str, Count] = Field(default={}, description="number of turns to distill by source")
    questions_per_source: int = Field(
        default=3000, ge=0, description="number of questions to distill"
    )
    questions_per_step: int = Field(default=128, gt=1)
    lessons_per_step: int = Field(default=128, gt=1, description="distillation texts")
    max_tokens: int = Field(default=64, gt=0, description="longest text in training")
    temperature: float = Field(default=0.05, gt=0)
    model: dict[str, Any] = Field(default_factory=dict, description="EmbedderConfig arguments")

    @field_validator("model")
    @classmethod
    def _sizes(cls, given: dict[str, Any]) -> dict[str, Any]:
        # The tokenizer determines this one.
        return model_arguments(EmbedderConfig, given, derived=frozenset({"vocab_size"}))
