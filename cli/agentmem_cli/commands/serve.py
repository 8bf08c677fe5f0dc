"""The command serve: one store for many agents over HTTP, and a page to look at it."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from agentmem_cli.open_memory import open_memory, require_file
from agentmem_cli.options import (
    DEFAULT_EMBEDDER,
    DEFAULT_STORE,
    EmbedderOption,
    ModelOption,
    StoreOption,
)

_LIMITS = "Limits"
# Objects; see `agentmem_cli.entry`.
_MADE_BETWEEN_COLLECTIONS = 50_000


def serve(
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="The address to bind to.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="0: any free port.")
    ] = 7717,
    tokens: Annotated[
        Path | None,
        typer.Option(
            "--tokens",
            envvar="AGENTMEM_TOKENS",
            metavar="FILE",
            help="Who may use it: a TOML file of tokens and their scopes, readable by its owner"
            " only. AGENTMEM_TOKEN is one more, for the complete store.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="Another name it is asked for under, such as that of a proxy; repeatable.",
        ),
    ] = None,
    rate: Annotated[
        float,
        typer.Option(
            "--rate",
            metavar="NUMBER",
            help="Requests per second of one token, on average.",
            rich_help_panel=_LIMITS,
        ),
    ] = 50.0,
    max_body: Annotated[
        int,
        typer.Option(
            "--max-body",
            metavar="BYTES",
            help="Size of the largest body of a request.",
            rich_help_panel=_LIMITS,
        ),
    ] = 2**20,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            help="How long a request may take.",
            rich_help_panel=_LIMITS,
        ),
    ] = 60.0,
    purge: Annotated[
        Literal["now", "later"],
        typer.Option(
            "--purge",
            help="When the bytes of what is forgotten leave the files: before the request is"
            " answered, or by `agentmem purge`.",
        ),
    ] = "now",
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            metavar="NUMBER",
            help="How many requests work with the store at the same time.",
            rich_help_panel=_LIMITS,
        ),
    ] = 4,
) -> None:
    """Serve a store over HTTP: an API with the verbs of the SDK, and a page to look at memories.

    Without tokens, every program on this machine can use it, and no other machine can.
    """
    from agentmem.service.run import run
    from agentmem.service.settings import Settings, allowed_hosts, check_binding
    from agentmem.service.tokens import read_tokens

    require_file(store)
    found = read_tokens(tokens, os.environ)
    check_binding(host, found)
    settings = Settings(
        tokens=found,
        hosts=allowed_hosts(host, tuple(allow_host or ())),
        rate=rate,
        max_body_bytes=max_body,
        timeout_s=timeout,
        workers=workers,
    )
    # More often than in a short command: the more there is to look at, the longer requests wait.
    gc.set_threshold(_MADE_BETWEEN_COLLECTIONS)
    with open_memory(
        store, model, create=True, embedder=embedder, preload=True, purge=purge
    ) as memory:
        run(
            memory,
            settings,
            host=host,
            port=port,
            on_start=lambda url: typer.echo(f"agentmem serves {store} at {url}", err=True),
        )
