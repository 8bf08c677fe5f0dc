"""``python -m benchmarks.robustness``: fidelity on text that learned codes commonly lose."""

from __future__ import annotations

from typing import Annotated

import typer

from agentmem.evaluation.result import write_result
from agentmem_cli.commands.evaluate import ResultOption, SeedOption
from agentmem_cli.options import ModelOption, QuietOption
from agentmem_cli.output import Output
from agentmem_cli.tables import quantization_table
from benchmarks.command import run
from benchmarks.robustness.study import evaluate_robustness


def robustness(
    json: ResultOption = None,
    chunks: Annotated[
        int, typer.Option("--chunks", min=1, help="So many chunks of each kind of text.")
    ] = 200,
    seed: SeedOption = 0,
    model: ModelOption = None,
    quiet: QuietOption = False,
) -> None:
    """Measure what is regenerated of ids, numbers, code, other scripts and noise.

    The texts are made from the seed, in chunks of 64 tokens at most; no model has seen them.
    """
    out = Output(quiet=quiet)
    with out.progress("robustness") as bar:
        result = evaluate_robustness(model=model, chunks=chunks, seed=seed, on_progress=bar)
    if json is not None:
        write_result(json, result)
    out.emit(json=dict, human=lambda: quantization_table(result.results["kinds"]), quiet=lambda: ())


if __name__ == "__main__":
    run(robustness)
