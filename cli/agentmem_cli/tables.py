"""Evaluation results as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agentmem_cli.views import percent

_RECALL = ("recall@1", "recall@5", "recall@10", "recall@20", "recall@50", "ndcg@10", "mrr")


def fidelity(results: Mapping[str, Any]) -> RenderableType:
    """One row per file and density, and those of random tokens."""
    return densities({**results["files"], "random tokens": results["random_tokens"]})


def densities(texts: Mapping[str, Any]) -> RenderableType:
    """One row per text and density."""
    table = figure_table(
        ("text", "density", "tokens", "chunks", "latents", "patch", "UTF-8", "exact"),
        caption="tokens and chunks right from the int8 latents alone; exact with the patch; "
        "all else: bytes per token",
    )
    for name, text in texts.items():
        for place, (density, found) in enumerate(text["quantizations"].items()):
            weights = (found["latent_bytes_per_token"], found["patch_bytes_per_token"])
            table.add_row(
                Text("" if place else name),
                density,
                percent(found["token_accuracy"]),
                percent(found["exact_chunks"]),
                *(f"{weight:.3f}" for weight in (*weights, text["utf8_bytes_per_token"])),
                "yes" if found["byte_exact"] else "NO",
            )
    return table


def recall(results: Mapping[str, Any]) -> RenderableType:
    """One row for all questions and one per category; speed below."""
    table = figure_table(("questions", *_RECALL, "number"))
    for name, scores in (("all", results["overall"]), *results["by_category"].items()):
        figures = (f"{scores[column]:.3f}" for column in _RECALL)
        table.add_row(Text(name), *figures, f"{scores['questions']:,}")
    latency = results["latency_ms"]
    speed = (
        f"recall {latency['p50']:.1f} ms (p50), {latency['p95']:.1f} ms (p95); "
        f"{results['adds_per_second']:.0f} messages added per second"
    )
    return Group(table, Text(speed))


def figure_table(heads: tuple[str, ...], caption: str | None = None) -> Table:
    """An empty table: the first column to the left, figures to the right."""
    table = Table(caption=caption, caption_justify="left")
    for index, head in enumerate(heads):
        table.add_column(head, justify="right" if index else "left", overflow="fold")
    return table
