"""Registers functions as commands, with their docstrings as help."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

import typer

from agentmem_cli.key_file import with_key_file

Commands = Mapping[str, Callable[..., None]]


def register(app: typer.Typer, commands: Commands) -> None:
    """Add functions as commands, in order."""
    for name, function in commands.items():
        app.command(name, help=_help(function))(with_key_file(function))


def command_group(commands: Commands, *, help: str) -> typer.Typer:
    """A group of commands that shows its help when it is called alone."""
    group = typer.Typer(no_args_is_help=True, help=help)
    register(group, commands)
    return group


def _help(function: Callable[..., None]) -> str:
    """A docstring with reflowed paragraphs; indented ones keep their line breaks."""
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    return "\n\n".join(
        text if text.startswith(" ") else " ".join(text.split()) for text in paragraphs
    )
