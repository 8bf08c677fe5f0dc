"""Configuration of the scale benchmark: a TOML file, validated before any work."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from agentmem.training.config import Section

Sizes = Annotated[list[Annotated[int, Field(ge=100)]], Field(min_length=1)]


class IndexConfig(Section):
    """The vector index by itself."""

    embeddings: Sizes
    queries: int = Field(default=50, gt=0, description="searches of each kind")
    shares: list[Annotated[float, Field(gt=0, lt=1)]] = Field(description="of all, in a scope")
    exact: int = Field(
        default=1_000_000, ge=0, description="the largest that is searched exactly, too, for times"
    )


class StoreConfig(Section):
    """Whole stores."""

    memories: Sizes
    questions: int = Field(default=40, gt=16, description="recalls of each kind")
    forgotten: int = Field(default=3, gt=0, description="memories forgotten one by one")


class ScaleConfig(Section):
    """A run of `python -m benchmarks.scale`; what has no section is not measured."""

    seed: int = Field(default=0, ge=0)
    index: IndexConfig | None = None
    store: StoreConfig | None = None
