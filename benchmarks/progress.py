"""The progress callback of long evaluations."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with the units of work done and in total, and a note on the current step."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show the progress."""
