"""The command that measures what a reader makes of memories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agentmem.evaluation.markdown import MISSING
from agentmem.evaluation.reading_report import by_way, decimal
from agentmem_cli.commands.evaluate import CacheOption, ResultOption
from agentmem_cli.commands.train import ConfigOption, CorpusOption
from agentmem_cli.options import ModelOption, QuietOption
from agentmem_cli.output import Output
from agentmem_cli.tables import figure_table
from agentmem_cli.views import percent


def reader(
    config: ConfigOption,
    corpus: CorpusOption,
    json: ResultOption = None,
    reader: Annotated[
        Path | None,
        typer.Option(
            "--reader", metavar="DIR", help="Folder of the reader; by default the bundle's own."
        ),
    ] = None,
    raw: Annotated[
        Path | None,
        typer.Option(
            "--raw",
            metavar="DIR",
            help="Folder of its rival, a reader that spends one position per token.",
        ),
    ] = None,
    cache: CacheOption = Path("runs/cache"),
    model: ModelOption = None,
    quiet: QuietOption = False,
) -> None:
    """Measure what a reader regenerates, looks up and answers from memory vectors.

    The same memories are read in up to four ways: as vectors, as raw tokens, as text cut to the
    number of vectors, and not at all. The two in the middle need --raw. Time and bytes are those
    of one language model, before vectors and before raw tokens.
    """
    from agentmem.evaluation.reading import evaluate_reader
    from agentmem.evaluation.reading_config import ReaderEvalConfig
    from agentmem.evaluation.result import write_result
    from agentmem.training.config import load_config

    out = Output(quiet=quiet)
    run = load_config(config, ReaderEvalConfig)
    with out.progress("reader") as bar:
        result = evaluate_reader(
            run,
            corpus=corpus,
            reader=reader,
            raw=raw,
            model=model,
            cache=cache,
            on_progress=bar,
        )
    if json is not None:
        write_result(json, result)
    out.emit(json=dict, human=lambda: _tables(result.results), quiet=lambda: ())


def _tables(results: Mapping[str, Any]) -> RenderableType:
    """A way of reading beside the other; below, what it costs."""
    ways = list(results["ways"])
    written = figure_table(
        ("tokens right, all right", *ways), "free-running, from int8 latents alone"
    )
    for name, key in (("whole memory", "regeneration"), ("after a cue", "lookup")):
        for rows in by_way(results[key], ways):
            file = f", {rows[0]['file']}" if "file" in rows[0] else ""
            cells = (_pair(row["token_accuracy"], row["exact"]) for row in rows)
            written.add_row(Text(f"{name}, N = {rows[0]['memories']}{file}"), *cells)
    asked = figure_table(("F1, exact", *ways), "questions")
    for group in ("all", "answerable", "unanswerable"):
        found = [row[group] for row in results["questions"]]
        asked.add_row(group, *(_pair(*_scores(scores)) for scores in found))
    asked.add_row("positions", *(f"{row['positions']:,.1f}" for row in results["questions"]))
    followed = figure_table(("perplexity", *ways), "of the text that follows, teacher-forced")
    for rows in by_way(results["following"], ways):
        cells = (decimal(row["perplexity"], ".2f") for row in rows)
        followed.add_row(Text(rows[0]["file"]), *cells)
    return Group(written, asked, followed, _costs(results["cost"]))


def _costs(rows: list[Mapping[str, Any]]) -> Table:
    shown = figure_table(
        ("tokens of memory", "vectors", "raw tokens", "raw / vectors", "kept: raw / vectors"),
        "time to the first token, and bytes that further tokens read",
    )
    for row in rows:
        times = (None if row[s] is None else row[s]["first_token_ms"] for s in ("vectors", "raw"))
        shown.add_row(
            f"{row['tokens']:,}",
            *(decimal(time, ",.0f", " ms") for time in times),
            *(decimal(row[ratio], ".1f") for ratio in ("first_token_ratio", "kv_ratio")),
        )
    return shown


def _scores(scores: Mapping[str, Any] | None) -> tuple[float | None, float | None]:
    return (None, None) if scores is None else (scores["f1"], scores["exact"])


def _pair(one: float | None, two: float | None) -> str:
    return MISSING if one is None or two is None else f"{percent(one)}, {percent(two)}"
