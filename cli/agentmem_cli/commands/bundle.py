"""The command train bundle: assembles trained parts to a model bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentmem_cli.commands.train import show_paths
from agentmem_cli.options import JsonOption, QuietOption
from agentmem_cli.output import Output


def bundle(
    name: Annotated[str, typer.Option("--name", help="Name of the bundle.")],
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
    encoder: Annotated[
        Path | None,
        typer.Option(
            "--encoder",
            exists=True,
            file_okay=False,
            metavar="DIR",
            help="Folder of `train encoder`, then the default embedder; optional.",
        ),
    ] = None,
    reranker: Annotated[
        Path | None,
        typer.Option(
            "--reranker",
            exists=True,
            file_okay=False,
            metavar="DIR",
            help="Run folder of `train reranker`; optional.",
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results",
            exists=True,
            file_okay=False,
            metavar="DIR",
            help="Folder of result files of these weights, to be shown in the model card.",
        ),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Assemble trained parts to a bundle folder, for --model of every command.

    The folder also gets a model card. To include figures: assemble, measure, and assemble again
    with --results.
    """
    from agentmem.models.extras import TRAIN, needs_extra

    with needs_extra(TRAIN, "the model card"):
        from agentmem.training.bundle.assemble import assemble_bundle

    manifest = assemble_bundle(
        out,
        name=name,
        tokenizer=tokenizer,
        autoencoder=autoencoder,
        embedder=embedder,
        encoder=encoder,
        reranker=reranker,
        results=results,
    )
    output = Output(json=json, quiet=quiet)
    show_paths(output, {"bundle": out, "name": manifest.name, "fingerprint": manifest.fingerprint})
