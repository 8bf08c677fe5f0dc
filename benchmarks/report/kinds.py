"""Recall by kind of memories as tables, and the pairs of memories that supersede each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.report.markdown import MISSING, table

_COLUMNS = ("first", "recall@5", "recall@10", "ndcg@10")
_OF_CHANGES = ("first", "top 3", "before distractors")
_ALL = "all"


def kinds_tables(results: Mapping[str, Any]) -> list[str]:
    """A table of all kinds, and one of those where several things are asked for.

    Args:
        results: The ``results`` of a kinds result file.
    """
    systems = [
        (name, system, halves)
        for name, kind in results.items()
        for system, halves in kind["systems"].items()
    ]
    rows = [
        (
            f"{name}: {system}",
            *_figures(halves["held-out"].get(_ALL), _COLUMNS),
            *_figures(halves["fit"].get(_ALL), ("ndcg@10",)),
            f"{halves['held-out'].get(_ALL, {}).get('questions', 0):,}",
        )
        for name, system, halves in systems
    ]
    parts = [
        (
            f"{name}, {category}: {system}",
            *_figures(means, _OF_CHANGES),
            f"{means['questions']:,}",
        )
        for name, system, halves in systems
        for category, means in sorted(halves["held-out"].items())
        if category != _ALL
    ]
    shown = table(("Memories: system", *_COLUMNS, "ndcg@10, fit half", "number"), rows)
    if parts:
        shown += ["", *table(("Asked for: system", *_OF_CHANGES, "number"), parts)]
    sizes = ", ".join(
        f"{name} {kind['memories']:,} of {kind['users']:,} user{'s' * (kind['users'] > 1)}"
        for name, kind in results.items()
    )
    return [
        *shown,
        "",
        "The half that is held out. first: share of questions whose first hit answers them; before "
        "distractors: what answers is above the value of another time and that of somebody else. "
        f"Memories: {sizes}.",
    ]


def _figures(means: Mapping[str, Any] | None, names: tuple[str, ...]) -> list[str]:
    """Three decimals each; a half without questions has no means."""
    return [f"{means[name]:.3f}" if means and name in means else MISSING for name in names]


def supersession_table(results: Mapping[str, Any]) -> list[str]:
    """A row for each kind and half: pairs that supersede each other, and pairs that do not.

    Args:
        results: The ``results`` of a supersession result file.
    """
    rows = [
        (
            f"{kind}, {half}",
            *(f"{figures[f'{what} found']:,} of {figures[what]:,}" for what in ("right", "wrong")),
        )
        for kind, halves in results["kinds"].items()
        for half, figures in halves.items()
    ]
    return table(("Pairs of memories", "one supersedes the other: found", "not: found"), rows)
