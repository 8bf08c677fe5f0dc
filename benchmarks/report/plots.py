"""Plots of result files: recall alone and compared with baselines, bytes per token, retention."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentmem.errors import MissingExtraError
from agentmem.evaluation.metrics import RECALL_AT
from benchmarks.report.scale import draw_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BARS = {
    "utf8_bytes_per_token": "UTF-8",
    "zstd": "zstd",
    "zstd_dictionary": "zstd + dictionary",
    "id_packing": "packed ids",
    "id_huffman": "Huffman ids",
}


def draw_plots(results_dir: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Plot every result of a folder that has a plot, next to its file.

    Returns:
        The PNGs, in the order of names.

    Raises:
        MissingExtraError: ``matplotlib`` is not installed.
    """
    drawn = []
    for path in sorted(Path(results_dir).glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        if plot := _PLOTS.get(result["task"]):
            plot(result["results"], path.with_suffix(".png"))
            drawn.append(path.with_suffix(".png"))
    return tuple(drawn)


def plot_recall(results: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Plot recall at k, overall and for each category.

    Args:
        results: The ``results`` of a recall result file.
        path: The PNG to write.

    Raises:
        MissingExtraError: ``matplotlib`` is not installed.
    """
    figure, axes = _canvas(7, 4.5)
    curves = {"all": results["overall"], **results["by_category"]}
    for name, scores in curves.items():
        heights = [scores[f"recall@{k}"] for k in RECALL_AT]
        axes.plot(
            RECALL_AT,
            heights,
            marker="o",
            label=f"{name} ({scores['questions']:,})",
            linewidth=2.5 if name == "all" else 1.0,
        )
    axes.set_xscale("log")
    axes.set_xticks(RECALL_AT, labels=[str(k) for k in RECALL_AT])
    axes.minorticks_off()
    axes.set_ylim(0, 1)
    axes.set_xlabel("k")
    axes.set_ylabel("share of the evidence among the first k")
    axes.legend()
    figure.savefig(path, metadata={"Software": None})


def plot_bytes(results: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Plot bytes per token of the baselines and each quantization, one group of bars per file.

    Args:
        results: The ``results`` of a fidelity result file.
        path: The PNG to write.

    Raises:
        MissingExtraError: ``matplotlib`` is not installed.
    """
    groups = {**results["files"], "random tokens": results["random_tokens"]}
    quantizations = list(results["random_tokens"]["quantizations"])
    figure, axes = _canvas(2.2 + 2.8 * len(groups), 4.5)
    width = 0.8 / (len(_BARS) + len(quantizations))

    def lefts(bar: int) -> list[float]:
        return [group - 0.4 + (bar + 0.5) * width for group in range(len(groups))]

    for bar, (key, label) in enumerate(_BARS.items()):
        # A baseline that was not measured on some text gets no bar there.
        heights = [{**text, **text.get("baselines", {})}.get(key, 0.0) for text in groups.values()]
        axes.bar(lefts(bar), heights, width, label=label)
    for bar, quantization in enumerate(quantizations, start=len(_BARS)):
        measured = [text["quantizations"][quantization] for text in groups.values()]
        latents = [figures["latent_bytes_per_token"] for figures in measured]
        patches = [figures["patch_bytes_per_token"] for figures in measured]
        axes.bar(lefts(bar), latents, width, label=quantization)
        # Patches are stacked on their latents in one color, with one legend entry ("_" is hidden).
        label = "patch" if quantization == quantizations[-1] else "_"
        axes.bar(lefts(bar), patches, width, bottom=latents, color="black", label=label)
    axes.set_xticks(range(len(groups)), labels=list(groups))
    axes.set_ylabel("bytes per token")
    figure.legend(loc="outside upper center", ncols=len(_BARS))
    figure.savefig(path, metadata={"Software": None})


def plot_retention(results: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Plot entropy ratio and token accuracy, a pair of bars for each frozen encoder.

    Args:
        results: The ``results`` of a retention result file.
        path: The PNG to write.

    Raises:
        MissingExtraError: ``matplotlib`` is not installed.
    """
    rows = results["encoders"][::-1]  # the first on top
    figure, axes = _canvas(7, 1.5 + 0.45 * len(rows))
    for shift, key, label in (
        (0.2, "entropy_ratio", "entropy ratio I"),
        (-0.2, "token_accuracy", "tokens right, free-running"),
    ):
        heights = [row[key] for row in rows]
        axes.barh([place + shift for place in range(len(rows))], heights, 0.4, label=label)
    # What token frequencies alone are worth.
    axes.axvline(
        results["encoders"][0]["entropy_ratio"], color="black", linewidth=0.8, dashes=(4, 3)
    )
    names = [f"{row['encoder']}, {row['tokens']} tokens" for row in rows]
    axes.set_yticks(range(len(rows)), labels=names)
    axes.set_xlim(0, 1)
    figure.legend(loc="outside upper center", ncols=2)
    figure.savefig(path, metadata={"Software": None})


def plot_sidebyside(results: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Plot recall at k, inside conversations and pooled, and evidence over decoder positions.

    Args:
        results: The ``results`` of a side-by-side result file.
        path: The PNG to write.

    Raises:
        MissingExtraError: ``matplotlib`` is not installed.
    """
    figure = _figure(16, 6.5)
    axes = figure.subplots(1, 3)
    systems = [system for system in results["systems"] if system["error"] is None]
    budgets: list[int] = []
    for place, system in enumerate(systems):
        # One color to a system; ours, which can be shown as vectors, are the thick lines.
        shown = system["evidence_within_positions"]
        width = 2.5 if "vectors" in shown else 1.0
        style: dict[str, Any] = {"color": f"C{place % 10}", "linewidth": width}
        style["marker"] = "o" if place < 10 else "^"
        for half, where in zip(axes, ("inside", "pooled"), strict=False):
            heights = [system[where]["overall"][f"recall@{k}"] for k in RECALL_AT]
            # Named once, in the legend of all three ("_" is no name).
            half.plot(RECALL_AT, heights, label=system["name"] if half is axes[0] else "_", **style)
        for condition, shares in shown.items():
            budgets = [int(budget) for budget in shares]
            dashes = "-" if condition == "text" else ":"
            axes[2].plot(budgets, list(shares.values()), linestyle=dashes, **style)
    titles = ("inside the conversation", "all conversations in one store", "what a decoder sees")
    for half, title in zip(axes, titles, strict=True):
        ticks = budgets if half is axes[2] else RECALL_AT
        half.set_title(title)
        half.set_xscale("log")
        half.set_xticks(ticks, labels=[str(tick) for tick in ticks])
        half.minorticks_off()
        half.set_ylim(0, 1)
        half.set_xlabel("positions; dotted: as memory vectors" if half is axes[2] else "k")
    axes[0].set_ylabel("share of the evidence")
    figure.legend(loc="outside lower center", ncols=4)
    figure.savefig(path, metadata={"Software": None})


def plot_scale(results: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Plot times over sizes, of the index and of whole stores.

    Args:
        results: The ``results`` of a scale result file.
        path: The PNG to write.

    Raises:
        MissingExtraError: ``matplotlib`` is not installed.
    """
    figure = _figure(12, 5)
    draw_scale(results, figure)
    figure.savefig(path, metadata={"Software": None})


_PLOTS = {
    "recall": plot_recall,
    "fidelity": plot_bytes,
    "retention": plot_retention,
    "scale": plot_scale,
    "sidebyside": plot_sidebyside,
}


def _canvas(width: float, height: float) -> tuple[Any, Axes]:
    figure = _figure(width, height)
    return figure, figure.add_subplot()


def _figure(width: float, height: float) -> Any:
    """An empty figure of its own: pyplot would keep it, and choose a backend, for the process."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            "plots need matplotlib: pip install 'latent-agentmem[train]'", extra="train"
        ) from error
    return Figure(figsize=(width, height), dpi=150, layout="constrained")
