"""Configuration of `agentmem train reranker`."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from agentmem.models.reranker.configuration import LatentRerankerConfig
from agentmem.training.config import LoopConfig, model_arguments


class RerankerConfig(LoopConfig):
    """A run of `agentmem train reranker`."""

    tokenizer: str = Field(description="tokenizer folder")
    autoencoder: str = Field(description="folder of the frozen autoencoder")
    questions: list[str] = Field(description="question files of the corpus folder")
    leave_out: list[str] = Field(
        default=[], description="sources of questions held out for model selection"
    )
    dev_questions: list[str] = Field(description="question files for the evaluation")
    questions_per_step: int = Field(default=24, gt=1)
    candidates: int = Field(default=20, gt=1, description="passages to rank")
    max_tokens: int = Field(default=56, gt=0, description="longest text in training")
    eval_every: int = Field(default=500, gt=0, description="steps between evaluations")
    save_every: int = Field(default=500, gt=0, description="steps between checkpoints")
    model: dict[str, Any] = Field(
        default_factory=dict, description="LatentRerankerConfig arguments"
    )

    @field_validator("model")
    @classmethod
    def _sizes(cls, given: dict[str, Any]) -> dict[str, Any]:
        # The tokenizer and the autoencoder determine these two.
        return model_arguments(
            LatentRerankerConfig, given, derived=frozenset({"vocab_size", "codes"})
        )
