"""Formats Markdown tables, with shares as percentages and scores with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# What stands where nothing was measured.
MISSING = "–"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table: the first column to the left, figures to the right."""
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def percent(share: float) -> str:
    """Two decimals, and 100 only for all: 99.996 % must not look like a perfect score."""
    if share == 1:
        return "100 %"
    return f"{min(share * 100, 99.99):.2f} %"


def with_interval(scores: Mapping[str, Any], name: str) -> str:
    """A score with its interval, which is under the same name with ``_interval`` after it."""
    low, high = scores[f"{name}_interval"]
    return f"{scores[name]:.3f} ({low:.3f} to {high:.3f})"
