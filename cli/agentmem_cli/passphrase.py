"""The passphrase of an encrypted file: from a file, the environment, or a person at a terminal.

Never from an option: others on the machine can see the arguments of a process.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from agentmem.errors import InputError

VARIABLE = "AGENTMEM_PASSPHRASE"

PassphraseFileOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        exists=True,
        dir_okay=False,
        metavar="PATH",
        help=f"Read the passphrase from the first line of a file; otherwise from {VARIABLE}, or "
        "it is asked for.",
    ),
]


def read_passphrase(file: Path | None, *, new: bool) -> str:
    """The passphrase of a file.

    Args:
        file: The file that has the passphrase.
        new: Whether it encrypts what is written; if it is asked for, then twice.

    Raises:
        InputError: it is empty, or there is nobody to ask.
    """
    found = _given(file)
    return _asked(twice=new) if found is None else found


def _given(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(VARIABLE) or None
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{str(file)!r} is not UTF-8: {error.reason}") from None
    if not lines or not lines[0]:
        raise InputError(f"the first line of {str(file)!r} is empty: it should be the passphrase")
    return lines[0]


def _asked(*, twice: bool) -> str:
    # A closed stream is None.
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        raise InputError(f"a passphrase is needed: give --passphrase-file, or set {VARIABLE}")
    found: str = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=twice, err=True)
    return found
