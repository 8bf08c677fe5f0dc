"""The progress callback of long evaluations."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Hears how much of all work is done, counted as the task says, and what is being done."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show it."""
