"""Configuration of a side-by-side run: a TOML file, validated before any work."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from agentmem.training.config import Count, Section


class SystemConfig(Section):
    """One system; see `benchmarks.sidebyside.system`."""

    name: str = Field(min_length=1, description="as tables have it")
    system: str = Field(pattern=r"^[\w.]+:\w+$", description="module:Class")
    options: dict[str, Any] = Field(default_factory=dict, description="what the class is made with")


class SideBySideConfig(Section):
    """A run of `python -m benchmarks.sidebyside`."""

    threads: Count = Field(default=2, description="that each system's libraries may use")
    conversations: Count | None = Field(default=None, description="at most so many")
    questions: Count | None = Field(default=None, description="at most so many of each of them")
    positions: list[Count] = Field(min_length=1, description="budgets of a decoder's positions")
    tokens_per_position: Count = Field(default=16, description="of memory vectors")
    model: str | None = Field(
        default=None, description="bundle folder whose tokens are counted; else the shipped one"
    )
    systems: list[SystemConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_once(self) -> SideBySideConfig:
        names = [system.name for system in self.systems]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"system {name!r} is there twice")
        return self
