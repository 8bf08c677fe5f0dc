"""A consistent copy of a store, made while others read and write it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from agentmem_storage.claims import claimed, remove_abandoned
from agentmem_storage.disk import as_path, make_private_file, make_private_folder, sync
from agentmem_storage.encryption.names import RING_NAME
from agentmem_storage.errors import InputError
from agentmem_storage.records import Copied
from agentmem_storage.shield import raise_if_abandoned
from agentmem_storage.sql.connection import log_mark
from agentmem_storage.sql.connection.base import AnyDatabase
from agentmem_storage.sql.connection.database import Database
from agentmem_storage.sql.connection.sqlite_errors import unwritable
from agentmem_storage.text import shown

_PAGES = 256


def copyable(database: AnyDatabase) -> Database:
    """A database whose files can be copied.

    Raises:
        InputError: It is in PostgreSQL.
    """
    if not isinstance(database, Database):
        raise InputError(
            f"the store at {database.location.label!r} is not in files of its own: back it up with "
            f"PostgreSQL's tools, such as pg_dump, or write its memories to a file with export()"
        )
    return database


def back_up(
    database: Database,
    target: str | os.PathLike[str],
    on_progress: Callable[[int, int], object] | None = None,
    *,
    keys: bool = False,
) -> Copied:
    """Copy a database to a new folder; see `agentmem_storage.store.Store.backup`."""
    folder = _folder(target)
    if (own := _own_folder(database)) is not None and folder.resolve().is_relative_to(own):
        raise InputError(
            f"{str(target)!r:.200} is inside the store's own folder: a backup goes elsewhere"
        )
    try:
        partial = folder / f"{database.file_name}.partial"
        if folder.is_file() or (folder.is_dir() and not _is_free(folder, partial)):
            raise InputError(f"{str(target)!r} exists already: give a new or an empty folder")
        made = make_private_folder(folder)
        if not make_private_file(partial):
            raise InputError(f"{str(target)!r}: another backup is being written there")
        try:
            with claimed(partial) as ours:
                if not ours:
                    raise InputError(f"{str(target)!r}: another backup is being written there")
                memories = _copy(database, partial, on_progress)
                sync(partial)
                if keys:
                    database.copy_keys(folder)
                # Only a complete copy gets the name under which it can be opened.
                partial.rename(folder / database.file_name)
            sync(folder)
        except BaseException:
            for file in (*folder.glob(f"{partial.name}*"), folder / RING_NAME):
                file.unlink(missing_ok=True)
            if made:
                with suppress(OSError):
                    folder.rmdir()
            raise
    except OSError as error:
        raise unwritable(error, os.fspath(target), what="the backup") from error
    return Copied(folder, memories, (folder / database.file_name).stat().st_size)


def _is_free(folder: Path, partial: Path) -> bool:
    """Whether a folder is empty, or has nothing but what a killed process left of a backup."""
    files = list(folder.iterdir())
    known = all(file.name.startswith((partial.name, RING_NAME)) for file in files)
    if partial in files and known:
        return remove_abandoned(partial, also=[file for file in files if file != partial])
    return not files


def _own_folder(database: Database) -> Path | None:
    """The folder of a store; None if it is a single file, or in memory."""
    path = database.location.path
    return path.parent.resolve() if path is not None and path.name == database.file_name else None


def _copy(
    database: Database, partial: Path, on_progress: Callable[[int, int], object] | None
) -> int:
    def progress(status: int, remaining: int, total: int) -> None:
        raise_if_abandoned()
        if on_progress is not None:
            on_progress(total - remaining, total)

    with closing(sqlite3.connect(partial, isolation_level=None)) as copy:
        with database.stored() as source:
            source.backup(copy, pages=_PAGES, progress=progress)
        log_mark.clear(copy)
        (memories,) = copy.execute(database.count_memories).fetchone()
    return int(memories)


def _folder(target: str | os.PathLike[str]) -> Path:
    name = os.fspath(target)
    if not isinstance(name, str):
        raise TypeError(
            f"a backup goes to a folder, given as a string or path, not {shown(target)}"
        )
    if not name or name.startswith(":") or "://" in name or "\0" in name:
        raise InputError(f"a backup goes to a new folder, not to {name!r:.200}")
    return as_path(name, "a folder for a backup")
