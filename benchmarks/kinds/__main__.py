"""``python -m benchmarks.kinds``: recall of notes, changing facts, documents and chats."""

from __future__ import annotations

import json as json_format
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from agentmem.evaluation.result import write_result
from benchmarks.command import run
from benchmarks.kinds.study import KINDS, SYSTEMS, evaluate_kinds

_COLUMNS = ("first", "top 3", "recall@5", "recall@10", "ndcg@10", "before distractors")


def _among(known: Collection[str]) -> Callable[[list[str] | None], list[str]]:
    def chosen(names: list[str] | None) -> list[str]:
        for name in names or ():
            if name not in known:
                raise typer.BadParameter(f"{name!r} is none of: {', '.join(known)}")
        return names or list(known)

    return chosen


def main(
    corpus: Annotated[Path, typer.Option(exists=True, file_okay=False, help="the corpus's folder")],
    json: Annotated[Path | None, typer.Option(help="where the result goes")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="questions of a kind, at most")] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(callback=_among(KINDS), help=f"{', '.join(KINDS)}; repeatable; default: all"),
    ] = None,
    system: Annotated[
        list[str] | None,
        typer.Option(
            callback=_among(SYSTEMS), help=f"{'; '.join(SYSTEMS)}; repeatable; default: all"
        ),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="folder that keeps stores for the next run"),
    ] = None,
    files: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="measure nothing, and write the kinds there, as `agentmem eval recall` reads them",
        ),
    ] = None,
) -> None:
    """Measure systems on kinds of memories, and show the scores of both halves."""
    kinds, systems = _among(KINDS)(kind), _among(SYSTEMS)(system)
    if files is not None:
        files.mkdir(parents=True, exist_ok=True)
        for name in kinds:
            records = [one.to_record() for one in KINDS[name](corpus).collections]
            lines = [json_format.dumps(record, ensure_ascii=False) + "\n" for record in records]
            (files / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")
        return
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
    with _bar() as bar:
        shown = bar.add_task("", total=None)

        def on_progress(done: int, total: int, note: str = "") -> None:
            bar.update(shown, completed=done, total=total, description=note)

        result = evaluate_kinds(
            corpus, kinds=kinds, systems=systems, limit=limit, work=work, on_progress=on_progress
        )
    if json is not None:
        write_result(json, result)
    Console(width=160).print(_table(result.results))


def _table(results: Mapping[str, Any]) -> Table:
    table = Table("kind", "half", "asked for", "system", *_COLUMNS, "questions")
    for name, kind in results.items():
        for system, halves in kind["systems"].items():
            for half, categories in halves.items():
                for category, means in categories.items():
                    cells = [f"{means[c]:.3f}" if c in means else "" for c in _COLUMNS]
                    table.add_row(name, half, category, system, *cells, str(means["questions"]))
    return table


def _bar() -> Progress:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))


if __name__ == "__main__":
    run(main)
