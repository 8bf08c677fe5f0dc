"""Speed of one process alone, and the time that a new one takes to start, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.report.markdown import table


def speed_tables(results: Mapping[str, Any]) -> list[str]:
    """A table of recalls, and one of the models alone.

    Args:
        results: The ``results`` of a speed result file.
    """
    rows = [
        (
            f"{row['memories']:,}",
            "yes" if row["rerank"] else "no",
            f"{row['p50']:.1f} ms",
            f"{row['p95']:.1f} ms",
        )
        for row in results["recall"]
    ]
    heads = ("Memories in the store", "Reranked", "Recall p50", "p95")
    models = [(name, f"{rate:.0f}") for name, rate in results["models"].items()]
    return [
        *table(heads, rows),
        "",
        f"Verified and durable, {results['adds_per_second']:.0f} turns are added per second "
        f"({results['tokens_per_second']:,.0f} tokens).",
        "",
        *table(("Models alone, in memory", "turns/s"), models),
        "",
        f"What `add` asks of the models goes {results['write_over_minilm']:.2f} times as fast as "
        f"all-MiniLM-L6-v2 only embeds ({results['write_over_minilm_bf16']:.2f} in bfloat16).",
    ]


def startup_table(results: Mapping[str, Any]) -> list[str]:
    """A row for each command.

    Args:
        results: The ``results`` of a startup result file.
    """
    installed = results["installed"]
    rows = [
        (f"`{row['command']}`", f"{row['cpu_s']:.2f} s", f"{row['wall_s']:.2f} s")
        for row in results["commands"]
    ]
    return [
        f"The base install: {installed['packages']} packages, "
        f"{installed['bytes'] / 1e6:,.0f} MB with the models.",
        "",
        *table(("In a new process", "CPU time", "Time"), rows),
    ]
