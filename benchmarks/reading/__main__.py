"""``python -m benchmarks.reading``: how well questions are answered from memories."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from agentmem.evaluation.result import write_result
from agentmem.models.bundle.manifest import READER, shipped_bundle
from agentmem.models.reader.language_model import find_language_model
from agentmem.models.reader.saving import load_config
from agentmem_cli.commands.evaluate import ResultOption
from agentmem_cli.options import QuietOption
from agentmem_cli.output import Output
from benchmarks.command import run
from benchmarks.reading.study import conditions_table, load_study, run_study
from benchmarks.reading.work import WorkFolder

_CONFIG = Path(__file__).with_name("reading.toml")


def reading(
    config: Annotated[Path, typer.Option("--config", help="The study, as a TOML file.")] = _CONFIG,
    reader: Annotated[
        Path | None, typer.Option("--reader", help="A reader's folder; the shipped one.")
    ] = None,
    questions: Annotated[
        Path | None, typer.Option("--questions", help="qa-dev.jsonl.zst of the corpus.")
    ] = None,
    locomo: Annotated[Path | None, typer.Option("--locomo", help="LoCoMo's file.")] = None,
    notebooks: Annotated[
        Path | None, typer.Option("--notebooks", help="Notebooks that no reader was trained on.")
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            "--work", help="Folder that keeps items and answers; what it has is not made again."
        ),
    ] = None,
    json: ResultOption = None,
    quiet: QuietOption = False,
) -> None:
    """Answer personal, qa-dev, LoCoMo and notebook questions under every condition of the study."""
    out = Output(quiet=quiet)
    place = reader or shipped_bundle() / READER
    model = find_language_model(load_config(place).language_model)
    with out.progress("reading") as bar:
        result = run_study(
            load_study(config),
            language_model=model,
            reader=place,
            questions=questions,
            locomo=locomo,
            notebooks=notebooks,
            work=WorkFolder(work),
            report=lambda condition, done, of: bar(done, of, condition),
        )
    if json is not None:
        write_result(json, result)

    def human() -> Table:
        shown = Table("condition", "set", "score")
        for row in conditions_table(result.results):
            shown.add_row(*row)
        return shown

    out.emit(json=dict, human=human, quiet=lambda: ())


if __name__ == "__main__":
    run(reading)
