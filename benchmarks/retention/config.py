"""Configuration of the retention study: a TOML file, validated before any work."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from agentmem.training.config import Count, OptimizerConfig, Positive, Section

EncoderName = Literal["untrained", "causal-last", "causal-mean", "keys", "minilm", "autoencoder"]


class SubjectConfig(Section):
    """A frozen encoder under test, at one length of chunks."""

    encoder: EncoderName
    tokens: int = Field(default=64, gt=1, description="tokens of a chunk")
    trap: bool = Field(default=False, description="also train a teacher-forced probe")


class StudyDataConfig(Section):
    """Which corpus files are read, and how much of them."""

    train: dict[str, Positive] = Field(min_length=1, description="file -> share of the chunks")
    dev: list[str] = Field(min_length=1, description="files of the chunks that are measured")
    dev_chunks: int = Field(default=64, gt=0, description="chunks of each dev file")
    tokens_per_step: int = Field(default=4096, gt=0)


class ProbeConfig(Section):
    """The fresh decoders; their width and heads are those of the bundle's autoencoder."""

    layers: Count = 2
    optimizer: OptimizerConfig


class RetentionConfig(Section):
    """A run of `python -m benchmarks.retention`."""

    seed: int = Field(default=0, ge=0)
    precision: Literal["no", "bf16"] = "bf16"
    threads: int = Field(default=2, gt=0, description="torch threads on a CPU")
    subjects: list[SubjectConfig] = Field(min_length=1)
    data: StudyDataConfig
    causal: OptimizerConfig = Field(description="training of the causal language model")
    probe: ProbeConfig

    @model_validator(mode="after")
    def _each_once(self) -> RetentionConfig:
        named = [(subject.encoder, subject.tokens) for subject in self.subjects]
        for encoder, tokens in named:
            if named.count((encoder, tokens)) > 1:
                raise ValueError(f"subject {encoder!r} with tokens = {tokens} is there twice")
        return self
