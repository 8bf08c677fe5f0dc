"""What a training run is told: a TOML file, checked before any work."""

from __future__ import annotations

import inspect
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from transformers import LlamaConfig, PretrainedConfig

from agentmem.errors import ConfigError
from agentmem.models.autoencoder.configuration import AutoencoderConfig
from agentmem.models.keys.configuration import KeyEncoderConfig
from agentmem.models.reader.configuration import ReaderConfig
from agentmem.models.reranker.configuration import LatentRerankerConfig

# See `agentmem.training.reading`.
Exercise = Literal["regenerate", "lookup", "answer", "facts", "follow", "language"]
Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A part of a run's configuration: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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


class OptimiserConfig(Section):
    """AdamW with warm-up, a constant stretch and a linear fall to zero."""

    steps: int = Field(gt=0)
    lr: float = Field(default=1e-3, gt=0)
    warmup: float = Field(default=0.02, ge=0, le=1, description="share of the steps")
    decay: float = Field(default=0.4, ge=0, le=1, description="share of the steps, at the end")
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = Field(default=1e-6, gt=0, description="steps fade where gradients are below it")
    weight_decay: float = Field(default=0.01, ge=0)
    clip: float = Field(default=1.0, gt=0)


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
        return _arguments(AutoencoderConfig, given)


def _arguments(
    kind: type[PretrainedConfig],
    given: dict[str, Any],
    *,
    derived: frozenset[str] = frozenset(),
    also: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Arguments of a model's configuration, checked: the class itself takes any name at all."""
    parameters = inspect.signature(kind).parameters
    known = [name for name in (*parameters, *also) if name not in derived and name != "kwargs"]
    for name in given:
        if name not in known:
            raise ValueError(f"unknown key {name!r}: known are {', '.join(known)}")
    try:
        kind(**given)
    except Exception as error:  # every version of transformers has kinds of its own
        raise ValueError(" ".join(str(error).split())) from error
    return given


SectionT = TypeVar("SectionT", bound=Section)


def load_config(path: str | Path, kind: type[SectionT]) -> SectionT:
    """Read and check a TOML file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or a key is missing, unknown or out of
            range.
    """
    path = Path(path)
    try:
        return kind.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"configuration file {path.name!r}: {error.strerror}") from error
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, item['loc']))} = {item['input']!r}: {item['msg']}"
            for item in error.errors()
        )
        raise ConfigError(f"{path.name!r}: {wrong}") from error
    except ValueError as error:
        raise ConfigError(f"{path.name!r} is not TOML in UTF-8: {error}") from error


class KeysConfig(Section):
    """A run of `agentmem train keys`."""

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
        return _arguments(KeyEncoderConfig, given, derived=frozenset({"vocab_size"}))


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
        return _arguments(LatentRerankerConfig, given, derived=frozenset({"vocab_size", "cells"}))


class StageConfig(Section):
    """A stretch of a reader's training."""

    until: float = Field(gt=0, le=1, description="share of the steps at which it ends")
    mixture: dict[Exercise, Positive] = Field(
        min_length=1, description="exercise -> share of the steps"
    )
    memories: list[Count] = Field(
        default=[1], min_length=1, description="memories per group; one of these is drawn"
    )
    memory_tokens: tuple[Count, Count] = Field(
        default=(32, 128), description="shortest and longest memory"
    )
    hard: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the groups to recite from that are of one neighbourhood, and of the "
        "cues that are chosen for being hard to go on from",
    )
    rows: int = Field(default=32, gt=0, description="rows of a batch")
    tokens_per_position: Count | None = Field(
        default=None, description="of the route positions: how many share one now"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.memory_tokens
        if not 2 <= low <= high:
            raise ValueError(f"memory_tokens = {self.memory_tokens!r}: two ascending, from 2")
        return self


class LoraConfig(Section):
    """Low-rank adapters of the language model, by peft, in place of its own weights."""

    rank: Count = 16
    alpha: Positive = 32
    targets: list[str] | Literal["all-linear"] = "all-linear"


class ReaderRunConfig(Section):
    """A run of `agentmem train reader`."""

    name: str
    seed: int = 0
    precision: Literal["no", "bf16"] = "bf16"
    threads: int = Field(default=2, gt=0, description="torch threads on a CPU")
    bundle: str | None = Field(default=None, description="bundle folder; None: the shipped one")
    lm: dict[str, Any] = Field(
        default_factory=dict, description="LlamaConfig arguments of a fresh language model"
    )
    train_lm: bool = Field(default=True, description="whether the language model's weights learn")
    lora: LoraConfig | None = None
    reader: ReaderConfig = ReaderConfig()
    texts: dict[str, Positive] = Field(
        min_length=1, description="file of the corpus folder -> share of the memories"
    )
    questions: list[str] = Field(default=[], description="question files of the corpus folder")
    dev_texts: list[str] = Field(min_length=1, description="files for the evaluation")
    dev_questions: list[str] = Field(default=[], description="question files for it")
    random_share: float = Field(
        default=0, ge=0, le=1, description="memories to recite that are random ids"
    )
    corrupted: float = Field(
        default=0, ge=0, lt=1, description="tokens of answers that are read as random ones"
    )
    seeking: float = Field(
        default=0, ge=0, description="weight of attending to where an answer stands, route slots"
    )
    max_context: int = Field(default=768, gt=0, description="longest context of a question")
    stages: list[StageConfig] = Field(min_length=1)
    eval_every: int = Field(default=250, gt=0)
    save_every: int = Field(default=250, gt=0)
    optimiser: OptimiserConfig

    @field_validator("lm")
    @classmethod
    def _sizes(cls, given: dict[str, Any]) -> dict[str, Any]:
        # The bundle's tokenizer says these; how attention is computed is no size.
        derived = frozenset({"vocab_size", "pad_token_id", "bos_token_id", "eos_token_id"})
        return _arguments(LlamaConfig, given, derived=derived, also=("attn_implementation",))

    @model_validator(mode="after")
    def _whole(self) -> Self:
        ends = [stage.until for stage in self.stages]
        if ends != sorted(set(ends)) or ends[-1] != 1:
            raise ValueError(f"stages end at {ends!r}: ascending, the last at 1")
        if any("answer" in stage.mixture for stage in self.stages) and not self.questions:
            raise ValueError("a stage has the exercise 'answer', but questions is empty")
        if self.lora is not None and self.train_lm:
            raise ValueError("lora stands in place of the LM's own weights: set train_lm = false")
        frozen = not self.train_lm and self.lora is None
        if frozen and any("language" in stage.mixture for stage in self.stages):
            raise ValueError(
                "a stage has the exercise 'language', from which a frozen LM learns "
                "nothing: leave it out, or give it lora"
            )
        return self

    @model_validator(mode="after")
    def _within_the_reader(self) -> Self:
        reader, whole = self.reader, self.reader.tokens_per_position
        if self.seeking and reader.route != "slots":
            raise ValueError(
                f"seeking = {self.seeking!r}: only slots can be attended to, and the reader takes "
                f"the route {reader.route!r}; leave it out"
            )
        for stage in self.stages:
            if max(stage.memories) > reader.max_memories:
                raise ValueError(
                    f"memories = {stage.memories!r}: reader.max_memories = {reader.max_memories!r}"
                )
            if stage.tokens_per_position is None:
                continue
            if reader.route != "positions" or stage.tokens_per_position > whole:
                raise ValueError(
                    f"tokens_per_position = {stage.tokens_per_position!r} in a stage: the reader "
                    f"takes the route {reader.route!r} with at most {whole!r}"
                )
        if (last := self.stages[-1].tokens_per_position) not in (None, whole):
            raise ValueError(
                f"tokens_per_position = {last!r} in the last stage: the reader will have {whole!r}"
            )
        return self

    def stage(self, step: int) -> StageConfig:
        """The stage of a step."""
        done = step / self.optimiser.steps
        return next(stage for stage in self.stages if done < stage.until)
