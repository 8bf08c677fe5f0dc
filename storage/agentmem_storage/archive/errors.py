"""The errors of archives, each saying what is wrong with which file."""

from __future__ import annotations

from agentmem_storage.errors import ArchiveError


def damaged(label: str, what: str) -> ArchiveError:
    """The error for a file that is not what was written."""
    return ArchiveError(
        f"{label!r} is damaged: {what}; nothing more is read from it, get another copy"
    )
