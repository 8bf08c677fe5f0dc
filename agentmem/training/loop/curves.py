"""Plots the curves of a run."""

from __future__ import annotations

import json
from pathlib import Path


def plot_curves(metrics: Path, out: Path) -> None:
    """Plot the training loss and the evaluations' error rates against steps."""
    from matplotlib.figure import Figure

    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    steps = [row["step"] for row in rows]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss, wrong = figure.subplots(1, 2)
    loss.plot(steps, [row["loss"] for row in rows])
    loss.set(xlabel="step", ylabel="training loss, nats per token", yscale="log")
    for name in rows[-1]["dev"]:
        # A floor, so that a perfect score still appears on the logarithmic axis.
        points = [
            (row["step"], max(1 - row["dev"][name], 1e-5)) for row in rows if name in row["dev"]
        ]
        wrong.plot(*zip(*points, strict=True), label=name)
    wrong.set(xlabel="step", ylabel="share of tokens wrong", yscale="log")
    wrong.legend(fontsize="small")
    for axes in (loss, wrong):
        axes.grid(visible=True, alpha=0.3)
    figure.savefig(out, dpi=120)
