"""The commands eval fidelity and eval recall, for data of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from agentmem_cli import tables
from agentmem_cli.options import ModelOption, QuietOption
from agentmem_cli.output import Output
from agentmem_cli.register import command_group


def _writable(path: Path | None) -> Path | None:
    # Checked before the work, not after it.
    if path is not None and not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"the folder of {str(path)!r} does not exist")
    return path


ResultOption = Annotated[
    Path | None,
    typer.Option(
        "--json",
        dir_okay=False,
        metavar="OUT",
        callback=_writable,
        help="File for the result as JSON; without it, only the table is printed.",
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", help="Random seed, recorded in the result.")]


def fidelity(
    data: Annotated[
        list[Path],
        typer.Option(
            "--data",
            exists=True,
            dir_okay=False,
            metavar="FILE",
            help='Records {"messages": [...]} or {"text": ...}, .jsonl or .jsonl.zst; repeatable.',
        ),
    ],
    json: ResultOption = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Maximum number of records per file.")
    ] = None,
    seed: SeedOption = 0,
    model: ModelOption = None,
    quiet: QuietOption = False,
) -> None:
    """Measure what the vectors alone regenerate, and their size next to other encodings."""
    from agentmem.evaluation.fidelity import evaluate_fidelity
    from agentmem.evaluation.result import write_result

    out = Output(quiet=quiet)
    with out.progress("fidelity") as bar:
        result = evaluate_fidelity(data, model=model, limit=limit, seed=seed, on_progress=bar)
    if json is not None:
        write_result(json, result)
    out.emit(json=dict, human=lambda: tables.fidelity(result.results), quiet=lambda: ())


def recall(
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            exists=True,
            metavar="PATH",
            help="Conversations or documents with questions: a file, or a folder as BEIR has it.",
        ),
    ],
    json: ResultOption = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            min=1,
            help="Maximum number of conversations or documents, or of a folder's queries.",
        ),
    ] = None,
    mode: Annotated[
        Literal["hybrid", "vector", "lexical"],
        typer.Option("--mode", help="Vector and lexical search combined, or one of them."),
    ] = "hybrid",
    seed: SeedOption = 0,
    model: ModelOption = None,
    quiet: QuietOption = False,
) -> None:
    """Measure whether what answers a question is found.

    Reads LoCoMo's file; a folder with corpus.jsonl, queries.jsonl and qrels/test.tsv, as BEIR has
    them; or JSON lines (.jsonl or .jsonl.zst), with one conversation per line:

        {"id": "c1",
         "messages": [{"id": "m1", "name": "Ana", "content": "...",
                       "at": "2026-05-08T13:56:00Z"},
                      {"id": "m2", "role": "assistant", "content": "..."}],
         "questions": [{"question": "...", "evidence": ["m1"],
                        "category": "temporal"}]}

    A message has a name, a role or both; "at" (ISO 8601) and "category" are optional.

    Or with one document per line, and where in its text the answers are, in characters:

        {"id": "d1", "title": "...", "text": "...",
         "questions": [{"question": "...", "spans": [[120, 184]]}]}

    Of spans, recall is the share of their characters that the hits hold.
    """
    from agentmem.evaluation.recall import evaluate_recall
    from agentmem.evaluation.result import write_result

    out = Output(quiet=quiet)
    with out.progress("recall") as bar:
        result = evaluate_recall(
            data, model=model, limit=limit, mode=mode, seed=seed, on_progress=bar
        )
    if json is not None:
        write_result(json, result)
    out.emit(json=dict, human=lambda: tables.recall(result.results), quiet=lambda: ())


app = command_group(
    {"fidelity": fidelity, "recall": recall},
    help="Measure fidelity and recall on data of your own.",
)
