"""Renders the result of a side-by-side run as Markdown tables, one row per system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.report.markdown import MISSING, table

_SCORES = ("recall@1", "recall@5", "recall@10", "recall@20", "recall@50", "ndcg@10", "mrr")
_BY_CATEGORY = "recall@10"


def sidebyside_tables(results: Mapping[str, Any]) -> list[str]:
    """Lines of all tables of a result file."""
    systems = [system for system in results["systems"] if system["error"] is None]
    failed = [system for system in results["systems"] if system["error"] is not None]
    lines = [
        f"{results['questions']:,} questions on {results['turns']:,} turns of "
        f"{results['conversations']:,} conversations; a question is asked inside its conversation:",
        "",
        *_quality(systems, "inside"),
        "",
        "The same questions over all conversations in one store:",
        "",
        *_quality(systems, "pooled"),
        "",
        f"{_BY_CATEGORY} by kind of question, inside its conversation:",
        "",
        *_categories(systems),
        "",
        "Share of the evidence that a decoder sees in so many of its positions: text takes one "
        f"for each token, memory vectors one for each {results['tokens_per_position']}:",
        "",
        *_positions(systems),
        "",
        *_costs(systems),
        "",
        "Recall includes the encoding of the query; memory is the most that the process held, "
        "libraries and encoder included.",
    ]
    for system in failed:
        lines += ["", f"{system['name']} failed: `{system['error']}`"]
    return lines


def _quality(systems: Sequence[Mapping[str, Any]], where: str) -> list[str]:
    return table(
        ("System", *_SCORES),
        [
            (system["name"], *(f"{system[where]['overall'][score]:.3f}" for score in _SCORES))
            for system in systems
        ],
    )


def _categories(systems: Sequence[Mapping[str, Any]]) -> list[str]:
    kinds = {
        kind: scores["questions"]
        for system in systems[:1]
        for kind, scores in system["inside"]["by_category"].items()
    }
    return table(
        ("System", *(f"{kind} ({questions:,})" for kind, questions in kinds.items())),
        [
            (
                system["name"],
                *(f"{system['inside']['by_category'][kind][_BY_CATEGORY]:.3f}" for kind in kinds),
            )
            for system in systems
        ],
    )


def _positions(systems: Sequence[Mapping[str, Any]]) -> list[str]:
    budgets = list(systems[0]["evidence_within_positions"]["text"]) if systems else []
    return table(
        ("System", "as", *(f"{int(budget):,}" for budget in budgets)),
        [
            (system["name"], condition, *(f"{shares[budget]:.3f}" for budget in budgets))
            for system in systems
            for condition, shares in system["evidence_within_positions"].items()
        ],
    )


def _costs(systems: Sequence[Mapping[str, Any]]) -> list[str]:
    return table(
        ("System", "turns added/s", "recall p50, ms", "p95, ms", "disk, MB", "memory, MB"),
        [
            (
                system["name"],
                f"{system['adds_per_second']:,.0f}",
                *(f"{system['recall_ms'][share]:.1f}" for share in ("p50", "p95")),
                f"{system['disk_bytes'] / 1e6:.1f}" if system["disk_bytes"] else MISSING,
                f"{system['peak_memory_bytes'] / 1e6:,.0f}",
            )
            for system in systems
        ],
    )
