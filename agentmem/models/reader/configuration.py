"""Configuration of a reader, as its ``reader.json`` stores it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

FORMAT_VERSION = 2
NOT_IN_MEMORY = "Not in memory."
"""What a reader is trained to answer when no memory contains the answer."""

SYSTEM_PROMPT = (
    "You answer questions from the notes you are given, in a few words. "
    f'If the notes do not hold the answer, say "{NOT_IN_MEMORY}"'
)


class ReaderConfig(BaseModel):
    """Settings of a reader; frozen and validated.

    Attributes:
        format_version: Version of this file's format.
        language_model: Hugging Face id of the language model.
        rank: Rank of the LoRA adapters.
        system_prompt: System message in the language model's own chat template.
        abstain_above: An answer is withheld if the model gives the first token of "not in memory"
            at least this probability; chosen on dev questions, 1 leaves it to the model.
        certain_from: It is withheld too if the model gives the first token of the answer itself
            less than this probability; chosen on held-back notebooks, 0 withholds none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[2] = 2
    language_model: str
    rank: int = Field(default=24, ge=1)
    system_prompt: str = SYSTEM_PROMPT
    abstain_above: float = Field(default=1.0, gt=0, le=1)
    certain_from: float = Field(default=0.0, ge=0, le=1)

    def withholds(self, absent: float, certainty: float) -> bool:
        """Whether an answer is withheld, before any of it is shown.

        Args:
            absent: Probability of the first token of "not in memory".
            certainty: Probability of the answer's own first token.
        """
        return absent >= self.abstain_above or certainty < self.certain_from
