"""Configuration of the comparison: a TOML file, validated before any work."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from agentmem.training.config import Count, Section


class SystemConfig(Section):
    """One store; see `benchmarks.vectorstores.system`."""

    name: str = Field(min_length=1, description="as tables have it")
    system: str = Field(pattern=r"^[\w.]+:\w+$", description="module:Class")
    options: dict[str, Any] = Field(default_factory=dict, description="what the class is made with")
    limit_s: float | None = Field(
        default=None, gt=0, description="if adding takes longer by the clock, it gets no more rows"
    )
    note: str = Field(default="", description="what a reader of the table has to know of it")


class VectorStoresConfig(Section):
    """A run of `python -m benchmarks.vectorstores`."""

    seed: int = Field(default=0, ge=0)
    memories: int = Field(ge=100, description="rows in each store")
    queries: Count = Field(default=50, description="searches of each kind")
    k: Count = Field(default=10, description="rows that a search returns")
    number: int = Field(default=3, ge=0, description="of the session that a filter asks for")
    systems: list[SystemConfig] = Field(min_length=1)
