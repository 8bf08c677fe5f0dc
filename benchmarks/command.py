"""Runs benchmarks as commands, ``python -m benchmarks.NAME``, with one-line errors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import typer

from agentmem.errors import AgentMemError


def run(benchmark: Callable[..., Any]) -> None:
    """Run a function with the command line's arguments; its docstring is the help."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(benchmark)
    try:
        app()
    except AgentMemError as error:
        sys.exit(f"error: {error}")
