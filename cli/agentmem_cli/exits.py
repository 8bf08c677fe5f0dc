"""Exit codes: one table that --help prints and that maps every error to its code."""

from __future__ import annotations

from enum import IntEnum

from agentmem.errors import (
    AgentMemError,
    CorruptRecordError,
    IncompatibleModelError,
    MissingExtraError,
    ModelError,
    ModelNotFoundError,
    StoreError,
    StoreIncompleteError,
    StoreNotFoundError,
    UnknownIdError,
)


class ExitCode(IntEnum):
    """The exit code of the process."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    INPUT = 3
    NOT_FOUND = 4
    STORE = 5
    MODEL = 6
    DAMAGE = 7
    EXTRA = 8
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.UNEXPECTED: "unexpected error, possibly a bug: run again with --debug",
    ExitCode.USAGE: "wrong usage: an option or argument",
    ExitCode.INPUT: "bad input: a text, file, filter or configuration",
    ExitCode.NOT_FOUND: "not found: an id, store, model bundle or reader",
    ExitCode.STORE: "store error: busy, read-only, not a store, of a newer version",
    ExitCode.MODEL: "the model bundle is damaged, or the store is bound to another one",
    ExitCode.DAMAGE: "a check found something: a damaged memory, a failed doctor, stale tables",
    ExitCode.EXTRA: "an optional package is not installed",
    ExitCode.INTERRUPTED: "interrupted",
}

# The first match counts, so specific errors come before general ones.
_BY_ERROR: tuple[tuple[type[Exception], ExitCode], ...] = (
    (UnknownIdError, ExitCode.NOT_FOUND),
    (StoreNotFoundError, ExitCode.NOT_FOUND),
    (ModelNotFoundError, ExitCode.NOT_FOUND),
    (CorruptRecordError, ExitCode.DAMAGE),
    (StoreIncompleteError, ExitCode.DAMAGE),
    (StoreError, ExitCode.STORE),
    (ModelError, ExitCode.MODEL),
    (IncompatibleModelError, ExitCode.MODEL),
    (MissingExtraError, ExitCode.EXTRA),
    (AgentMemError, ExitCode.INPUT),
    # A file given by the caller cannot be read or written.
    (OSError, ExitCode.INPUT),
)


def exit_code(error: Exception) -> ExitCode:
    """The exit code of an error that ended a command."""
    for kind, code in _BY_ERROR:
        if isinstance(error, kind):
            return code
    return ExitCode.UNEXPECTED


def epilog() -> str:
    """The table for --help."""
    return "\n".join(["Exit codes:", *(f"{code:>4} {MEANINGS[code]}" for code in ExitCode)])
