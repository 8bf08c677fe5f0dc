"""Erases what is left of deleted rows in a large database file, without rewriting it."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
from pathlib import Path

from agentmem_storage.errors import StoreBusyError
from agentmem_storage.sql.connection import unused_space

# Rewriting a smaller file takes no longer than starting a process.
LEAST_BYTES = 8 * 2**20
# A file of which more than a third is free is rewritten, so that it shrinks.
_FREE_PART = 3

_log = logging.getLogger(__name__)


def is_worthwhile(connection: sqlite3.Connection) -> bool:
    """Whether to erase in a database file rather than to rewrite it.

    Args:
        connection: A connection to it, outside of transactions.
    """
    pages, size, free = (
        int(connection.execute(f"PRAGMA {what}").fetchone()[0])
        for what in ("page_count", "page_size", "freelist_count")
    )
    return pages * size >= LEAST_BYTES and free * _FREE_PART <= pages


def erase(path: Path, label: str, timeout_s: float) -> bool:
    """Overwrite all that is unused in a database file; see `unused_space`.

    The caller has a connection to it that has been used, so that its log stays where it is.

    Args:
        path: The file.
        label: The location as it was given, for error messages.
        timeout_s: How long to wait for others, in seconds.

    Returns:
        Whether it was done; if not, the file has to be rewritten.

    Raises:
        StoreBusyError: Others were using the store.
    """
    # Not everybody who opens a store needs it.
    import subprocess

    script, python = Path(unused_space.__file__), Path(sys.executable or "")
    # Where Python is part of another program, that is what would be started.
    if os.name != "posix" or not python.name.startswith("python") or not script.is_file():
        return False
    command = [str(python), "-I", "-S", str(script), str(path)]
    try:
        inode = unused_space.identity(path.stat())
        # In a session of its own, so that Ctrl-C does not end it.
        done = subprocess.run(
            [*command, inode, repr(timeout_s)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            start_new_session=True,
            check=False,
        )
    except OSError as error:
        _log.info("no process can be started, so the file is rewritten: %s", error)
        return False
    said = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode == 0 and said == unused_space.DONE:
        return True
    if done.returncode == 0 and said == unused_space.BUSY:
        raise StoreBusyError(f"others are using the store at {label!r}")
    _log.info("the file is rewritten, since it was not erased: %s", said or done.returncode)
    return False
