"""Formats Markdown tables, with shares as percentages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
