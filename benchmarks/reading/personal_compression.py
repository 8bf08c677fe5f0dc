"""``python -m benchmarks.reading.personal_compression``: short facts from compressed memories.

The personal questions, k = 8, each answered from the same memories at several ratios, as
`benchmarks.reading.compression` does; judged with and without the reader's thresholds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from agentmem.evaluation.result import build_result, write_result
from agentmem.models.bundle.manifest import READER, shipped_bundle
from agentmem.models.reader.configuration import ReaderConfig
from agentmem_cli.commands.evaluate import ResultOption
from agentmem_cli.options import QuietOption
from agentmem_cli.output import Output
from benchmarks.command import run
from benchmarks.reading.answers import Answer, withhold
from benchmarks.reading.compression import RATIOS, answers, load
from benchmarks.reading.items import Item, personal_items
from benchmarks.reading.study import judged

_K = 8


def personal_compression(
    reader: Annotated[
        Path | None, typer.Option("--reader", help="A reader's folder; the shipped one.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", help="How many questions.")] = 120,
    work: Annotated[
        Path | None, typer.Option("--work", help="File that keeps answers; a run goes on from it.")
    ] = None,
    json: ResultOption = None,
    quiet: QuietOption = False,
) -> None:
    """Answer the personal questions from memories at several ratios of compression."""
    out = Output(quiet=quiet)
    began = time.perf_counter()
    model, prompt = load(reader or shipped_bundle() / READER)
    items = list(personal_items([_K]))[:limit]
    kept = _read(work)
    with out.progress("reading") as bar:
        for number, item in enumerate(items):
            if number == len(kept):
                kept.append(answers(item, model, prompt))
                _append(work, kept[-1])
            bar(number + 1, len(items), "personal")
    result = build_result(
        "personal-compression",
        config={
            "k": _K,
            "ratios": list(RATIOS),
            "dtype": "bfloat16",
            "abstain_above": model.config.abstain_above,
            "certain_from": model.config.certain_from,
        },
        seed=0,
        seconds=round(time.perf_counter() - began, 1),
        results=score(items, kept[: len(items)], model.config),
        threads=1,
    )
    if json is not None:
        write_result(json, result)

    def human() -> Table:
        shown = Table("tokens per kept state", "right", "wrong", "abstained")
        for ratio, figures in result.results.items():
            found = figures["withheld"]
            shown.add_row(ratio, *(str(found[name]) for name in ("right", "wrong", "abstained")))
        return shown

    out.emit(json=dict, human=human, quiet=lambda: ())


def score(
    items: Sequence[Item], kept: Sequence[Sequence[Answer]], config: ReaderConfig
) -> dict[str, Any]:
    """How many are right, wrong and abstained at each ratio, as the reader answers and in full."""
    every = config.model_copy(update={"abstain_above": 1.0, "certain_from": 0.0})
    found: dict[str, Any] = {}
    for n, ratio in enumerate(RATIOS):
        own = [row[n] for row in kept]
        found[str(ratio)] = {
            name: judged(list(zip(items, withhold(own, rule), strict=True)))
            for name, rule in (("withheld", config), ("nothing withheld", every))
        }
    return found


def _read(work: Path | None) -> list[list[Answer]]:
    if work is None or not work.is_file():
        return []
    lines = work.read_text(encoding="utf-8").splitlines()
    return [[Answer(**one) for one in json.loads(line)] for line in lines]


def _append(work: Path | None, row: Sequence[Answer]) -> None:
    if work is not None:
        with work.open("a", encoding="utf-8") as file:
            file.write(json.dumps([asdict(one) for one in row], ensure_ascii=False) + "\n")


if __name__ == "__main__":
    run(personal_compression)
