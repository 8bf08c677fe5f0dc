"""Commands that are imported when they are run or listed: one need not wait for all the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer

from agentmem_cli.register import register


class LazyCommands(Mapping[str, Any]):
    """The commands of a group by name, each made when it is first asked for."""

    def __init__(self, targets: Mapping[str, str]) -> None:
        """Name the commands.

        Args:
            targets: For each the module in `agentmem_cli.commands` and the name in it, with a colon
                between them: that of a function, or of the Typer app of a group.
        """
        self._targets = targets
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _command(name, self._targets[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets)

    def __len__(self) -> int:
        return len(self._targets)


def _command(name: str, target: str) -> Any:
    module, _, attribute = target.partition(":")
    found = getattr(import_module(f"agentmem_cli.commands.{module}"), attribute)
    if not isinstance(found, typer.Typer):
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        register(app, {name: found})
        return typer.main.get_command(app)
    group = typer.main.get_command(found)
    group.name = name
    return group
