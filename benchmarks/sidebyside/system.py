"""The interface of a memory system in the side-by-side comparison.

A system is a class named in the configuration as ``module:Class``. It is made with a folder of its
own to write to and with its options, in a process of its own.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

from agentmem.errors import ConfigError
from benchmarks.sidebyside.data import NumberedTurn


class System(Protocol):
    """Takes turns, and ranks them for a question.

    Attributes:
        packages: Distributions whose versions belong to the result.
        as_vectors: Whether a decoder can be given what it finds as memory vectors.
    """

    packages: ClassVar[tuple[str, ...]]
    as_vectors: ClassVar[bool]

    def add(self, conversation: str, turns: Sequence[NumberedTurn]) -> None:
        """Add all turns of a conversation; they are searchable when this returns."""

    def search(self, question: str, k: int, *, conversation: str | None) -> list[int]:
        """Numbers of at most k turns, best first; None searches all conversations."""

    def close(self) -> None:
        """Flush pending writes, and release the folder."""


def load_system(name: str) -> Callable[..., System]:
    """The class that ``module:Class`` names; made with a folder and keyword options.

    Raises:
        ConfigError: The name has another form, or the module has no such class.
        ImportError: The module, or a package that it needs, is not installed.
    """
    module, _, kind = name.partition(":")
    if not kind:
        raise ConfigError(f"a system is named 'module:Class', not {name!r}")
    found: Any = getattr(importlib.import_module(module), kind, None)
    if found is None:
        raise ConfigError(f"module {module!r} has no class {kind!r}")
    system: Callable[..., System] = found
    return system
