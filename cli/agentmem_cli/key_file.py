"""The option --key-file, which every command has that has a store.

Only the path of a file: others on the machine can see the arguments of a process, and its
environment is inherited by every program that it starts.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

_VARIABLE = "AGENTMEM_KEY_FILE"

KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        envvar=_VARIABLE,
        metavar="PATH",
        help="The file with the key of an encrypted store, 32 random bytes; with one, a new store "
        "is encrypted.",
        rich_help_panel="Store",
    ),
]

_given: ContextVar[Path | None] = ContextVar("key_file", default=None)


def key_file() -> Path | None:
    """What was given to the command that is running; without one, what the environment says."""
    found = _given.get()
    if found is None and (variable := os.environ.get(_VARIABLE)):
        return Path(variable)
    return found


def with_key_file(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the option, if it has a store."""
    signature = inspect.signature(command, eval_str=True)
    names = signature.parameters.keys()
    # `restore` opens a backup, and other commands only move the files of one.
    if "store" not in names and not names >= {"backup", "model"}:
        return command

    @wraps(command)
    def run(*, key_file: Path | None, **options: Any) -> None:
        token = _given.set(key_file)
        try:
            command(**options)
        finally:
            _given.reset(token)

    option = inspect.Parameter(
        "key_file", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=KeyFileOption
    )
    parameters = [*signature.parameters.values(), option]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run
