"""Where a store is: a folder, memory, or a SQLite URL; found out before anything is opened."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import ArgumentError

from agentmem_storage.errors import NotAStoreError, StoreError, StoreNotFoundError
from agentmem_storage.sql.faults import unwritable

MEMORY = ":memory:"
DATABASE_NAME = "memory.db"
_DRIVERS = ("sqlite", "sqlite+pysqlite")


@dataclass(frozen=True, slots=True)
class Place:
    """A store's location, understood.

    Attributes:
        label: What error messages call it: the location as it was given.
        database: First argument of `sqlite3.connect`.
        options: Further arguments of `sqlite3.connect`.
        path: The database file; None in memory and for ``file:`` URIs, which may name anything.
        cache: The folder of the search index's cache file, or None if there is to be none.
    """

    label: str
    database: str
    options: dict[str, Any]
    path: Path | None
    cache: Path | None

    @property
    def in_memory(self) -> bool:
        """Whether the store lives in one connection and dies with it."""
        return self.database == MEMORY

    def read_only(self, *, immutable: bool) -> Place:
        """The same file, opened so that SQLite writes nothing.

        Args:
            immutable: Also promise SQLite that nobody else writes, so that it needs no lock file.
        """
        assert self.path is not None
        mode = "mode=ro&immutable=1" if immutable else "mode=ro"
        uri = f"{self.path.absolute().as_uri()}?{mode}"
        return Place(self.label, uri, self.options | {"uri": True}, self.path, None)


def find_place(location: str | os.PathLike[str], *, create: bool) -> Place:
    """Understand a location and look at what lies there, making the folder if need be.

    Args:
        location: A folder, ":memory:", or a SQLAlchemy URL such as "sqlite:///notes.db".
        create: Whether a store may be made where there is none.

    Raises:
        NotAStoreError: Something else lies there.
        StoreNotFoundError: Nothing lies there and ``create`` is False.
        StoreUnwritableError: The folder cannot be made.
        StoreError: A URL of another database, or one that cannot be read.
    """
    label = os.fspath(location)
    if label == MEMORY:
        return _in_memory(label, create=create)
    if "://" in label and isinstance(location, str):
        return _url(label, create=create)
    return _folder(label, create=create)


def _in_memory(label: str, *, create: bool) -> Place:
    if not create:
        raise StoreNotFoundError(f"{label!r} is always a new store, so it cannot be found")
    return Place(label, MEMORY, {}, None, None)


def _folder(label: str, *, create: bool) -> Place:
    folder = Path(label).expanduser()
    path = folder / DATABASE_NAME
    try:
        if folder.exists() and not folder.is_dir():
            raise NotAStoreError(f"{label!r} is a file: name a folder, or use 'sqlite:///' + path")
        if not path.exists():
            if folder.exists() and any(folder.iterdir()):
                raise NotAStoreError(
                    f"{label!r} holds other things and no {DATABASE_NAME}: name a new or empty "
                    f"folder"
                )
            if not create:
                raise StoreNotFoundError(f"there is no store at {label!r}")
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(error, label) from error
    return Place(label, str(path), {}, path, folder / "index")


def _url(label: str, *, create: bool) -> Place:
    try:
        url = make_url(label)
    except ArgumentError as error:
        raise StoreError("the location looks like a URL, but SQLAlchemy cannot read it") from error
    if url.password is not None:
        label = url.render_as_string(hide_password=True)
    if url.drivername not in _DRIVERS:
        raise StoreError(
            f"stores live in SQLite; {label!r} is a URL of {url.drivername!r}: use a folder, "
            f"':memory:' or 'sqlite:///path/to/file.db'"
        )
    database, options = _arguments(url, label)
    if database == MEMORY:
        return _in_memory(label, create=create)
    if options.get("uri"):
        if MEMORY in database or "mode=memory" in database:
            raise StoreError(f"{label!r} may name a new store at each look: use ':memory:'")
        return Place(label, database, options, None, None)
    path = Path(database)
    if path.is_dir():
        raise NotAStoreError(f"{label!r} is a folder: give its path without 'sqlite:///'")
    if not path.exists():
        if not create:
            raise StoreNotFoundError(f"there is no store at {label!r}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(error, label) from error
    return Place(label, str(path), options, path, path.with_name(f"{path.name}-index"))


def _arguments(url: URL, label: str) -> tuple[str, dict[str, Any]]:
    """The arguments of `sqlite3.connect` that SQLAlchemy reads from a URL."""
    try:
        positional, options = SQLiteDialect_pysqlite().create_connect_args(url)
    except ArgumentError as error:
        raise StoreError(f"{label!r} names a host, which SQLite has none of") from error
    return str(positional[0]), dict(options)
