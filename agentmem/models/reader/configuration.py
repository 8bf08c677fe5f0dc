"""What a reader is made of: read from and written to ``reader.json``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

FORMAT_VERSION = 1
NOT_IN_MEMORY = "Not in memory."
"""What a reader is taught to say when no memory holds the answer."""

SYSTEM_PROMPT = (
    "You answer questions from the notes you are given, in a few words. "
    f'If the notes do not hold the answer, say "{NOT_IN_MEMORY}"'
)


class ReaderConfig(BaseModel):
    """Settings of a reader; frozen, validated when made.

    Attributes:
        format_version: Version of this file's format.
        language_model: Where the language model comes from, as a Hugging Face id.
        ratios: Tokens per kept state that it was trained for, ascending; 1 keeps all.
        text_rank: Rank of the LoRA of the text pass.
        memory_rank: Rank of the LoRA that kept tokens take in the memory pass, at ratios above 1.
        system_prompt: Goes into the language model's own chat template.
        abstain_above: An answer is withheld where the model gives the first token of "not in
            memory" this probability or more; chosen on dev questions, 1 leaves it to the model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    language_model: str
    ratios: tuple[int, ...] = (1, 2, 4, 8, 16)
    text_rank: int = Field(default=12, ge=1)
    memory_rank: int = Field(default=24, ge=0)
    system_prompt: str = SYSTEM_PROMPT
    abstain_above: float = Field(default=1.0, gt=0, le=1)

    @field_validator("ratios")
    @classmethod
    def _ascending(cls, ratios: tuple[int, ...]) -> tuple[int, ...]:
        if (
            not ratios
            or ratios[0] < 1
            or any(a >= b for a, b in zip(ratios, ratios[1:], strict=False))
        ):
            raise ValueError(f"ratios={ratios!r}: whole numbers of 1 or more, ascending")
        return ratios
