"""Fits and measures the relevance of hits, on questions that no weights were trained on.

Figures are those of questions about documents that the numbers were not fitted on, five times a
fifth; the numbers that are written are fitted on all of them. No evaluation set has a part in it.
"""

from __future__ import annotations

import json as json_format
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from agentmem.evaluation.result import build_result, write_result
from agentmem.models.bundle.load import load_bundle
from benchmarks.command import run
from benchmarks.relevance.fit import SIGNALS, Floats, fit, held_out, to_json
from benchmarks.relevance.items import KINDS, SIZES, groups
from benchmarks.relevance.measure import Case, measure
from benchmarks.relevance.scores import auroc, ece, figures, reliability

_WITHOUT = ("absent", "foreign", "unanswerable", "empty")


def main(
    data: Annotated[list[Path], typer.Option(help="the corpus's question files")],
    small_talk: Annotated[Path, typer.Option(help="a file of conversations of the corpus")],
    json: Annotated[Path, typer.Option(help="where the result goes")],
    calibration: Annotated[
        Path | None, typer.Option(help="where the fitted numbers go, if anywhere")
    ] = None,
    questions: Annotated[int, typer.Option(help="with evidence, of each kind and size")] = 30,
    size: Annotated[
        list[int] | None, typer.Option(help="messages in a store; default: 5, 20, 100 and 1,000")
    ] = None,
    threads: Annotated[int, typer.Option(help="torch threads")] = 2,
) -> None:
    """Measure and fit, and write the result file."""
    torch.set_num_threads(threads)
    sizes = size or list(SIZES)
    began = time.perf_counter()
    stores = list(groups(data, small_talk, seed=0, questions=questions, sizes=sizes))
    cases = list(measure(stores))
    fitted = {name: fit(cases, names) for name, names in SIGNALS.items()}
    results: dict[str, Any] = {
        "stores": len(stores),
        "messages": sum(len(store.messages) for store in stores),
        "signals": {name: _figures(cases, names) for name, names in SIGNALS.items()},
        "fitted": to_json(fitted, load_bundle().fingerprint),
    }
    result = build_result(
        "relevance",
        config={"data": [file.name for file in data], "questions": questions, "sizes": sizes},
        seed=0,
        seconds=time.perf_counter() - began,
        results=results,
        threads=threads,
    )
    write_result(json, result)
    if calibration is not None:
        content = json_format.dumps(results["fitted"], indent=2)
        calibration.write_text(content + "\n", encoding="utf-8", newline="\n")
    for name, shown in results["signals"].items():
        typer.echo(f"{name}: AUROC {shown['all']['auroc']:.3f}, ECE {shown['all']['ece']:.3f}")


def _figures(cases: Sequence[Case], names: Sequence[str]) -> dict[str, Any]:
    """Figures of held-back questions: all, and by kind, size of the store and way of asking."""
    made = held_out(cases, names)
    of_recall: Floats = np.array([recall for recall, _ in made])
    evidence = np.array([case.ask.how == "own" for case in cases])
    of_hits, right = (
        np.concatenate([hits for _, hits in made]),
        np.concatenate([case.right for case in cases]),
    )

    def of(wanted: Callable[[Case], bool]) -> dict[str, Any] | None:
        rows = np.array([wanted(case) for case in cases])
        if not 0 < evidence[rows].sum() < rows.sum():
            return None
        documents = [case.ask.document for case, row in zip(cases, rows, strict=True) if row]
        return figures(of_recall[rows], evidence[rows], documents)

    parts: dict[str, Callable[[Case], bool]] = {"all": lambda case: True}
    for kind in KINDS:
        parts[f"kind: {kind}"] = lambda case, kind=kind: case.kind == kind  # type: ignore[misc]
    for size in sorted({case.size for case in cases}):
        parts[f"memories: {size}"] = lambda case, size=size: case.size == size  # type: ignore[misc]
    parts["as questions"] = lambda case: not case.ask.keywords
    parts["as keywords"] = lambda case: case.ask.keywords
    for how in _WITHOUT:
        parts[f"without: {how}"] = lambda case, how=how: case.ask.how in ("own", how)  # type: ignore[misc]
    shown: dict[str, Any] = {name: found for name, part in parts.items() if (found := of(part))}
    shown["reliability"] = reliability(of_recall, evidence)
    shown["hits"] = {"auroc": auroc(of_hits, right), "ece": ece(of_hits, right)}
    shown["median"] = {
        how: float(np.median(of_recall[[case.ask.how == how for case in cases]]))
        for how in ("own", *_WITHOUT)
        if any(case.ask.how == how for case in cases)
    }
    return shown


if __name__ == "__main__":
    run(main)
