"""``python -m benchmarks.retention``: how much of a chunk an embedding retains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from agentmem.evaluation.result import write_result
from agentmem.training.config import load_config
from agentmem_cli.commands.evaluate import ResultOption
from agentmem_cli.commands.train import ConfigOption, CorpusOption
from agentmem_cli.options import ModelOption, QuietOption
from agentmem_cli.output import Output
from agentmem_cli.tables import figure_table
from agentmem_cli.views import percent
from benchmarks.command import run
from benchmarks.retention.config import RetentionConfig
from benchmarks.retention.study import evaluate_retention


def retention(
    config: ConfigOption,
    corpus: CorpusOption,
    json: ResultOption = None,
    cache: Annotated[
        Path, typer.Option("--cache", metavar="DIR", help="Token ids are kept in here.")
    ] = Path("runs/cache"),
    model: ModelOption = None,
    quiet: QuietOption = False,
) -> None:
    """Measure what a fresh decoder regenerates from the embeddings of frozen encoders.

    The configuration names the encoders: untrained, causal-last, causal-mean, keys, minilm and
    autoencoder. Each gets a decoder of its own, trained for as long as the others.
    """
    out = Output(quiet=quiet)
    study = load_config(config, RetentionConfig)
    with out.progress("retention") as bar:
        result = evaluate_retention(study, corpus=corpus, model=model, cache=cache, on_progress=bar)
    if json is not None:
        write_result(json, result)
    out.emit(json=dict, human=lambda: _tables(result.results), quiet=lambda: ())


def _tables(results: Mapping[str, Any]) -> RenderableType:
    """One row per encoder; below, what a teacher-forced decoder makes one believe."""
    shown = figure_table(
        ("encoder", "tokens", "dims", "bytes", "nats", "I", "gain", "tokens right"),
        "I: entropy ratio over a uniform guess; gain: the same over a decoder without embedding",
    )
    for row in results["encoders"]:
        shown.add_row(
            Text(row["encoder"]),
            *(f"{row[name]:,}" for name in ("tokens", "dims", "bytes")),
            *(f"{row[name]:.3f}" for name in ("nats", "entropy_ratio", "gain")),
            percent(row["token_accuracy"]),
        )
    if not results["trap"]:
        return shown
    trap = figure_table(
        ("encoder", "tokens", "nats", "teacher-forced", "free-running"), "tokens right"
    )
    for row in results["trap"]:
        trap.add_row(
            Text(row["encoder"]),
            f"{row['tokens']:,}",
            f"{row['teacher_forced_nats']:.3f}",
            *(
                percent(row[f"{condition}_accuracy"])
                for condition in ("teacher_forced", "free_running")
            ),
        )
    return Group(shown, trap)


if __name__ == "__main__":
    run(retention)
