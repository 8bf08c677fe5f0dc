"""Configuration of `agentmem train reader-data` and `agentmem train reader`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from agentmem.models.reader.configuration import SYSTEM_PROMPT
from agentmem.training.config import LoopConfig, Section


class ReaderDataConfig(Section):
    """Configuration of `agentmem train reader-data`: exercises of each kind, and their length."""

    questions: list[str] = Field(default=[], description="question files of the corpus folder")
    conversations: list[str] = Field(default=[], description="conversation files, for repetition")
    contexts: int = Field(default=50_000, ge=0, description="exercises from contexts, at most")
    personal: int = Field(default=40_000, ge=0, description="exercises of personal memories")
    notebooks: int = Field(default=0, ge=0, description="exercises from a file of notebooks")
    turns: int = Field(default=6_000, ge=0, description="exercises of conversation turns")
    most: int = Field(default=700, gt=0, description="tokens of an exercise, without the prefix")
    seed: int = 1


class ReaderRunConfig(LoopConfig):
    """A run of `agentmem train reader`."""

    precision: Literal["no", "bf16"] = "bf16"
    compile: bool = Field(
        default=False, description="compile the layers: a minute at the start, then faster on a GPU"
    )
    language_model: str = Field(description="folder of the language model")
    published_as: str = Field(description="its Hugging Face id, kept with the reader")
    start: str | None = Field(
        default=None, description="folder of a reader to start from; its rank may be lower"
    )
    system_prompt: str = SYSTEM_PROMPT
    ratios: dict[str, float] = Field(
        default={"1": 0.2, "2": 0.1, "4": 0.25, "8": 0.2, "16": 0.25},
        description="tokens per kept state -> share of the batches; {'0': 1} reads plain text",
    )
    rank: int = Field(default=24, gt=0)
    tokens_per_step: int = Field(default=32_768, gt=0)
    log_every: int = Field(default=50, gt=0)

    @field_validator("ratios")
    @classmethod
    def _shares(cls, ratios: dict[str, float]) -> dict[str, float]:
        if not all(ratio.isdecimal() for ratio in ratios):
            raise ValueError(f"ratios={ratios!r}: the keys are whole numbers of 0 or more")
        if min(ratios.values(), default=-1.0) < 0 or not sum(ratios.values()):
            raise ValueError(f"ratios={ratios!r}: the shares are 0 or more, and not all 0")
        return ratios
