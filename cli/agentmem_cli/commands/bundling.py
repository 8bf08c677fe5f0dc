"""The command that puts trained parts together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentmem_cli.commands.train import tell
from agentmem_cli.options import JsonOption, QuietOption
from agentmem_cli.output import Output


def bundle(
    name: Annotated[str, typer.Option("--name", help="What the bundle is called.")],
    tokenizer: Annotated[
        Path,
        typer.Option(
            "--tokenizer", exists=True, file_okay=False, metavar="DIR", help="Tokenizer folder."
        ),
    ],
    autoencoder: Annotated[
        Path,
        typer.Option(
            "--autoencoder",
            exists=True,
            file_okay=False,
            metavar="DIR",
            help="Run folder of `train autoencoder`.",
        ),
    ],
    embedder: Annotated[
        Path,
        typer.Option(
            "--embedder",
            exists=True,
            file_okay=False,
            metavar="DIR",
            help="Run folder of `train embedder`.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The bundle's folder.")],
    reranker: Annotated[
        Path | None,
        typer.Option(
            "--reranker",
            exists=True,
            file_okay=False,
            metavar="DIR",
            help="Run folder of `train reranker`; a bundle may do without.",
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results",
            exists=True,
            file_okay=False,
            metavar="DIR",
            help="Folder of result files of these weights; their figures go into the model card.",
        ),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Put trained parts into one folder, which --model of every command takes.

    The folder gets a model card as well. Figures come with a second run: assemble, measure, and
    assemble again with --results.
    """
    from agentmem.training.bundle.assemble import assemble_bundle

    manifest = assemble_bundle(
        out,
        name=name,
        tokenizer=tokenizer,
        autoencoder=autoencoder,
        keys=embedder,
        reranker=reranker,
        results=results,
    )
    output = Output(json=json, quiet=quiet)
    tell(output, {"bundle": out, "name": manifest.name, "fingerprint": manifest.fingerprint})
