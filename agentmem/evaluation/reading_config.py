"""What the evaluation of a reader is told: a TOML file, checked before any work."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from agentmem.training.config import Count, Section


class RegenerationConfig(Section):
    """Memories written out again, free-running."""

    memories: list[Count] = Field(
        default=[1, 16], min_length=1, description="memories in one reading"
    )
    memory_tokens: int = Field(default=128, gt=0, description="tokens of a memory")
    rows: int = Field(
        default=48,
        gt=0,
        description="memories written for each file and number of memories, rounded up to whole "
        "readings",
    )


class LookupConfig(Section):
    """A cue from one of the memories, and what follows it there."""

    memories: list[Count] = Field(
        default=[1, 4, 8, 16, 64], min_length=1, description="memories in one reading"
    )
    memory_tokens: int = Field(default=128, gt=0, description="tokens of a memory")
    cue: int = Field(default=8, gt=0, description="tokens of a cue")
    following: int = Field(default=16, gt=0, description="tokens to be written after it")
    rows: int = Field(
        default=96,
        gt=0,
        description="look-ups for each number of memories, rounded up to whole readings",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.cue + self.following > self.memory_tokens:
            raise ValueError(
                f"cue = {self.cue} and following = {self.following} do not fit a memory of "
                f"memory_tokens = {self.memory_tokens}"
            )
        return self


class QuestionsConfig(Section):
    """Questions over contexts that are cut into memories."""

    file: str = Field(description="question file of the corpus folder")
    count: int = Field(default=400, gt=0, description="questions drawn from it, at most")
    max_context: int = Field(default=640, gt=0, description="longest context, tokens")
    memory_tokens: int = Field(default=128, gt=0, description="tokens of a memory, at most")
    answer_tokens: int = Field(default=48, gt=0, description="longest answer that is written")
    positions: list[Count] = Field(
        default=[8, 16, 32, 64, 128, 256],
        description="the rival's text is also cut to each of these numbers of positions",
    )


class FollowingConfig(Section):
    """Text whose predecessors are memories."""

    memories: int = Field(default=4, gt=0, description="memories before it")
    memory_tokens: int = Field(default=128, gt=0, description="tokens of a memory")
    tokens: int = Field(default=128, gt=1, description="tokens of the text")
    rows: int = Field(default=64, gt=0, description="texts from each file")


class CostConfig(Section):
    """Time to the first token, and what is kept until the last."""

    tokens: list[Count] = Field(
        default=[1024, 4096, 16384], min_length=1, description="tokens of memory in one reading"
    )
    memory_tokens: int = Field(default=256, gt=0, description="tokens of a memory")
    repeats: int = Field(default=5, gt=0, description="interleaved; medians are reported")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for tokens in self.tokens:
            if tokens % self.memory_tokens:
                raise ValueError(
                    f"tokens = {tokens} are no whole memories of memory_tokens = "
                    f"{self.memory_tokens}"
                )
        return self


class ReaderEvalConfig(Section):
    """A run of `agentmem eval reader`."""

    seed: int = Field(default=0, ge=0)
    threads: int = Field(default=2, gt=0, description="torch threads")
    densities: list[str] = Field(
        default=["dense", "standard"],
        min_length=1,
        description="how memories are quantised: readings take these in turn",
    )
    texts: list[str] = Field(min_length=1, description="files that memories are cut from")
    regeneration: RegenerationConfig = RegenerationConfig()
    lookup: LookupConfig = LookupConfig()
    questions: QuestionsConfig
    following: FollowingConfig = FollowingConfig()
    cost: CostConfig = CostConfig()
