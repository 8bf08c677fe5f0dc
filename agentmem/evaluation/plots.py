"""Result files to pictures: recall over k, and bytes per token beside the rivals'."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentmem.errors import MissingExtraError
from agentmem.evaluation.metrics import RECALL_AT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BARS = {
    "utf8_bytes_per_token": "UTF-8",
    "zstd": "zstd",
    "zstd_dictionary": "zstd + dictionary",
    "id_packing": "packed ids",
    "latent_bytes_per_token": "latents",
}


def draw_plots(results_dir: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Draw a picture of every recall and fidelity result of a folder, beside its file.

    Returns:
        The PNGs, in the order of names.

    Raises:
        MissingExtraError: ``matplotlib`` is not installed.
    """
    drawn = []
    for path in sorted(Path(results_dir).glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        if plot := {"recall": plot_recall, "fidelity": plot_bytes}.get(result["task"]):
            plot(result["results"], path.with_suffix(".png"))
            drawn.append(path.with_suffix(".png"))
    return tuple(drawn)


def plot_recall(results: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Draw recall at k, overall and for each category.

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
    """Draw bytes per token of latents, patch and rivals, a group of bars for each file.

    Args:
        results: The ``results`` of a fidelity result file.
        path: The PNG to write.

    Raises:
        MissingExtraError: ``matplotlib`` is not installed.
    """
    groups = {**results["files"], "random tokens": results["random_tokens"]}
    figure, axes = _canvas(2.2 + 2.2 * len(groups), 4.5)
    width = 0.8 / len(_BARS)
    for place, (key, label) in enumerate(_BARS.items()):
        left = [group - 0.4 + (place + 0.5) * width for group in range(len(groups))]
        # What was not measured on some text gets no bar there.
        heights = [{**m, **m.get("rivals", {})}.get(key) or 0.0 for m in groups.values()]
        axes.bar(left, heights, width, label=label)
    # The last bars are the latents'; their patches stand on top.
    patches = [measured["patch_bytes_per_token"] for measured in groups.values()]
    axes.bar(left, patches, width, bottom=heights, label="patch")
    axes.set_xticks(range(len(groups)), labels=list(groups))
    axes.set_ylabel("bytes per token")
    figure.legend(loc="outside upper center", ncols=len(_BARS) + 1)
    figure.savefig(path, metadata={"Software": None})


def _canvas(width: float, height: float) -> tuple[Any, Axes]:
    """An empty figure of its own: pyplot would keep it, and choose a backend, for the process."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            "plots need matplotlib: pip install 'latent-agentmem[train]'", extra="train"
        ) from error
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    return figure, figure.add_subplot()
