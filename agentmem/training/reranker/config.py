"""What a run of `agentmem train reranker` is told."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from agentmem.models.reranker.configuration import LatentRerankerConfig
from agentmem.training.config import OptimiserConfig, Section, model_arguments


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
        return model_arguments(
            LatentRerankerConfig, given, derived=frozenset({"vocab_size", "cells"})
        )
