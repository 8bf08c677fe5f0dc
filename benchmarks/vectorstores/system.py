"""The interface of a store in the comparison.

A store is a class named in the configuration as ``module:Class``. It is made with a folder of its
own, with the rows, and with its options, in a process that adds, and again in one that searches.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from agentmem.errors import ConfigError
from benchmarks.vectorstores.rows import Batch


class VectorStore(Protocol):
    """Keeps rows on disk, and finds the nearest to a vector.

    Attributes:
        packages: Distributions whose versions belong to the result.
    """

    packages: ClassVar[tuple[str, ...]]

    def add(self, batch: Batch) -> None:
        """Add the rows of a user; they are durable when this returns."""

    def finish(self) -> None:
        """Make what searches need once all rows are there."""

    def search(
        self, vector: NDArray[np.float32], k: int, *, user: str | None, number: int | None
    ) -> Sequence[int]:
        """Numbers of at most k rows by cosine, best first: of a user, with a number, or of all."""

    def close(self) -> None:
        """Flush pending writes, and release the folder."""


def load_system(name: str) -> Callable[..., VectorStore]:
    """The class that ``module:Class`` names; made with a folder, rows, and keyword options.

    Raises:
        ConfigError: The module has no such class.
        ImportError: The module, or a package that it needs, is not installed.
    """
    module, _, kind = name.partition(":")
    found: Any = getattr(importlib.import_module(module), kind, None)
    if found is None:
        raise ConfigError(f"module {module!r} has no class {kind!r}")
    system: Callable[..., VectorStore] = found
    return system
