"""Recall, and how well relevance tells evidence from none, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.report.markdown import MISSING, table, with_interval


def recall_tables(results: Mapping[str, Any]) -> list[str]:
    """Scores by category, and by evidence where they were measured.

    Args:
        results: The ``results`` of a recall result file.
    """
    overall, latency = results["overall"], results["latency_ms"]
    shown = _scored("Questions", {"all": overall, **results["by_category"]})
    # Results of before have no such groups.
    if by_evidence := results.get("by_evidence"):
        shown += ["", *_scored("Pieces of evidence", by_evidence)]
    return [
        *shown,
        "",
        f"A recall takes {latency['p50']:.1f} ms (p50), {latency['p95']:.1f} ms (p95); "
        f"{results['adds_per_second']:.0f} {results.get('added', 'messages')} are added per "
        "second.",
    ]


def relevance_tables(results: Mapping[str, Any]) -> list[str]:
    """A table of scores, and one of the reliability of relevance.

    Args:
        results: The ``results`` of a relevance result file.
    """
    heads = ("Questions", "number", "with evidence", "AUROC", "ECE", "by words alone: AUROC", "ECE")
    cosine, words = results["signals"]["cosine"], results["signals"]["words"]
    rows = [
        (
            name,
            f"{scores['questions']:,}",
            f"{scores['with_evidence']:,}",
            *(
                with_interval(of[name], score)
                # With one way of asking without evidence, the shares are not those of the fit.
                if score == "auroc" or not name.startswith("without")
                else MISSING
                for of in (cosine, words)
                for score in ("auroc", "ece")
            ),
        )
        for name, scores in cosine.items()
        if "auroc_interval" in scores
    ]
    bins = [
        (f"{mean:.2f}", f"{share:.2f}", f"{count:,}")
        for mean, share, count in cosine["reliability"]
    ]
    medians = ", ".join(f"{how} {median:.2f}" for how, median in cosine["median"].items())
    return [
        *table(heads, rows),
        "",
        "In brackets: intervals of 95 %, by a bootstrap over documents. Median relevance of the "
        f"recall: {medians}. Of single hits, relevance has an AUROC of "
        f"{cosine['hits']['auroc']:.3f} and an ECE of {cosine['hits']['ece']:.3f}.",
        "",
        *table(("Mean relevance", "share with evidence", "number"), bins),
    ]


def _scored(head: str, groups: Mapping[str, Any]) -> list[str]:
    """A row of scores for each group of questions."""
    columns = [name for name in next(iter(groups.values())) if name != "questions"]
    rows = [
        (name, *(f"{scores[column]:.3f}" for column in columns), f"{scores['questions']:,}")
        for name, scores in groups.items()
    ]
    return table((head, *columns, "number"), rows)
