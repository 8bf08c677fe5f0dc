"""Locations of stores: a folder, memory or an SQLite URL, resolved before anything is opened."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import ArgumentError

from agentmem_storage.disk import make_private_folder
from agentmem_storage.encryption.names import ENCRYPTED_NAME, RING_NAME
from agentmem_storage.errors import (
    InputError,
    KeyRequiredError,
    NotAStoreError,
    StoreError,
    StoreNotFoundError,
)
from agentmem_storage.sql.connection.files import require_regular
from agentmem_storage.sql.connection.sqlite_errors import unwritable

MEMORY = ":memory:"
DATABASE_NAME = "memory.db"
INDEX_NAME = "index"
STATES_NAME = "states.db"
_DRIVERS = ("sqlite", "sqlite+pysqlite")
# What the driver takes; others, such as "mode", are SQLite's own and need a "file:" URL.
_PARAMETERS = (
    *("uri", "timeout", "isolation_level", "detect_types", "check_same_thread"),
    "cached_statements",
)
_TRUE = ("true", "yes", "on", "y", "t", "1")


@dataclass(frozen=True, slots=True)
class Location:
    """A resolved store location.

    Attributes:
        label: The location as it was given, for error messages.
        database: First argument of `sqlite3.connect`.
        options: Further arguments of `sqlite3.connect`.
        path: The database file; None in memory and for ``file:`` URIs, which may refer to anything.
        cache: The folder of the vector index's cache file; None without a cache.
        states: The file of the cache of states; None to keep them in memory.
        writable: Whether the store may be written.
        unlocked: Whether it is read without locks, see `agentmem_storage.sql.connection.unlocked`.
    """

    label: str
    database: str
    options: dict[str, Any]
    path: Path | None
    cache: Path | None
    states: Path | None = None
    writable: bool = True
    unlocked: bool = False

    @property
    def in_memory(self) -> bool:
        """Whether the store exists only as long as its connection."""
        return self.database == MEMORY

    def read_only(self, *, immutable: bool) -> Location:
        """The same file, opened read-only.

        Args:
            immutable: Tell SQLite that no other process writes, so that it needs no lock file.
        """
        assert self.path is not None
        mode = "mode=ro&immutable=1" if immutable else "mode=ro"
        uri = f"{self.path.absolute().as_uri()}?{mode}"
        options = self.options | {"uri": True}
        return Location(
            *(self.label, uri, options, self.path, None, self.states),
            writable=False,
            unlocked=immutable,
        )


def locate_store(location: str | os.PathLike[str], *, create: bool) -> Location:
    """Resolve a location and check what it holds, creating the folder if necessary.

    Args:
        location: A folder, ":memory:", or a SQLAlchemy URL such as "sqlite:///notes.db".
        create: Whether the store may be created.

    Raises:
        NotAStoreError: It holds something else.
        StoreNotFoundError: It does not exist and ``create`` is False.
        StoreUnwritableError: The folder cannot be created.
        StoreError: The URL is malformed or not of SQLite.
        InputError: It is empty, looks like a URI but is none that SQLAlchemy knows, or has a
            parameter that would have no effect.
    """
    label = os.fspath(location)
    if not isinstance(label, str):
        raise TypeError(f"a location is a string or a path, not {location!r:.200}")
    _require_path(location, label)
    if label == MEMORY:
        return _in_memory(label, create=create)
    if "://" in label and isinstance(location, str):
        return _url(label, create=create)
    return _folder(label, create=create)


def locate_encrypted(location: str | os.PathLike[str], *, create: bool) -> Location:
    """Resolve the location of an encrypted store, whose tables are in memory while it is open.

    Nothing is created, for there may be no key for it.

    Args:
        location: A folder.
        create: Whether the store may be created.

    Returns:
        A location in memory, with the path of the file of sealed rows.

    Raises:
        NotAStoreError: It holds something else.
        StoreNotFoundError: It does not exist, has no key ring either, and ``create`` is False.
        StoreUnwritableError: The folder cannot be read.
        InputError: It is no folder, or the folder has a store that is not encrypted.
    """
    label = os.fspath(location)
    if not isinstance(label, str):
        raise TypeError(f"a location is a string or a path, not {location!r:.200}")
    if label == MEMORY or (isinstance(location, str) and "://" in label):
        raise InputError(f"an encrypted store is in a folder, and {label!r:.200} is none")
    _require_path(location, label)
    found = _folder(label, create=create, encrypted=True)
    return Location(label, MEMORY, {}, found.path, None, writable=found.writable)


def _require_path(location: str | os.PathLike[str], label: str) -> None:
    """Check that a location can be a path or a URL.

    Raises:
        InputError: It cannot.
    """
    if not label or "\0" in label:
        raise InputError(f"{label!r:.200} is not a location: give a folder")
    try:
        os.fsencode(label)
    except UnicodeEncodeError as error:
        raise InputError(f"{label!a:.200} is not a location: it has half a character") from error
    if isinstance(location, str) and (meant := _meant(label)) is not None:
        raise InputError(
            f"{label!r:.200} is not a folder and not a URL: write {meant}, or './' before it for a "
            f"folder of that name"
        )


def _meant(label: str) -> str | None:
    """What somebody meant who wrote something like a URI; None if it is a path or a URL."""
    head = label.partition(":")[0].lower()
    if "://" in label or ":" not in label or label == MEMORY:
        return None
    if "memory" in label.lower() and head in ("", "file", "sqlite", "memory"):
        return f"{MEMORY!r}"
    if head in ("file", "sqlite", "sqlite3", "sqlite+pysqlite"):
        return "'sqlite:///path/to/file.db'"
    return None


def _in_memory(label: str, *, create: bool) -> Location:
    if not create:
        raise StoreNotFoundError(f"{label!r} is always a new store: create=False makes no sense")
    return Location(label, MEMORY, {}, None, None)


def _folder(label: str, *, create: bool, encrypted: bool = False) -> Location:
    # Absolute, because the working directory may change while the store is open.
    try:
        folder = Path(label).expanduser().absolute()
    except RuntimeError as error:
        raise InputError(f"{label!r:.200} is not a location: {error}") from error
    path = folder / (ENCRYPTED_NAME if encrypted else DATABASE_NAME)
    try:
        if folder.exists() and not folder.is_dir():
            raise NotAStoreError(
                f"{label!r} is a file: give a folder, or 'sqlite:///' and the path"
            )
        # Listed before the database is looked for: another opener may create it in between, and
        # what it then left in the folder must not be taken for somebody else's files.
        names = {one.name for one in folder.iterdir()} if folder.exists() else set()
        if not path.exists():
            _require_kind(label, names, encrypted=encrypted)
            # A key ring alone is of a store that another opener is creating, or died creating, or
            # whose other file is missing.
            if names - ({RING_NAME, f"{RING_NAME}-journal"} if encrypted else set()):
                raise NotAStoreError(
                    f"{label!r} contains other files and no {path.name}: give a new or empty folder"
                )
            if not create and not (encrypted and RING_NAME in names):
                raise StoreNotFoundError(f"there is no store at {label!r}")
            if not encrypted:
                make_private_folder(folder)
        require_regular(path, label)
        if encrypted:
            require_regular(folder / RING_NAME, label)
    except OSError as error:
        raise unwritable(error, label) from error
    return Location(label, str(path), {}, path, folder / INDEX_NAME, folder / STATES_NAME)


def _require_kind(label: str, names: set[str], *, encrypted: bool) -> None:
    """Check that a folder has not a store of the other kind.

    Raises:
        KeyRequiredError: It has an encrypted one, and no key was given.
        InputError: It has one that is not encrypted, and a key was given.
    """
    if not encrypted and ENCRYPTED_NAME in names:
        raise KeyRequiredError(
            f"the store at {label!r} is encrypted: open it with its key, as in Memory(path, "
            f"key=...), or with `--key-file PATH`"
        )
    if encrypted and DATABASE_NAME in names:
        raise InputError(
            f"the store at {label!r} is not encrypted: open it without a key; or export it, and "
            f"load the file into a new store that is opened with one"
        )


def _url(label: str, *, create: bool) -> Location:
    try:
        url = make_url(label)
    except ArgumentError as error:
        raise StoreError("the location looks like a URL, but SQLAlchemy cannot parse it") from error
    if url.password is not None:
        label = url.render_as_string(hide_password=True)
    if url.drivername not in _DRIVERS:
        raise StoreError(
            f"stores are in SQLite or PostgreSQL; {label!r} is a URL of {url.drivername!r}: use a "
            f"folder, ':memory:', 'sqlite:///path/to/file.db' or 'postgresql://user@host/database'"
        )
    unread = sorted(set(url.query).difference(_PARAMETERS))
    if unread and str(url.query.get("uri", "")).lower() not in _TRUE:
        raise InputError(
            f"{label!r} has the parameter {unread[0]!r}, which only a 'file:' URL takes: write "
            f"'sqlite:///file:{url.database}?{unread[0]}={url.query[unread[0]]}&uri=true'"
        )
    database, options = _arguments(url, label)
    if database == MEMORY:
        return _in_memory(label, create=create)
    if options.get("uri"):
        if MEMORY in database or "mode=memory" in database:
            raise StoreError(f"{label!r} may refer to a new store each time: use ':memory:'")
        return Location(label, database, options, None, None)
    path = Path(database).absolute()
    try:
        _check_file(path, label, create=create)
    except OSError as error:
        raise unwritable(error, label) from error
    cache, states = (path.with_name(f"{path.name}-{what}") for what in ("index", "states"))
    if path.name == DATABASE_NAME:
        # Those of the folder, which may be opened as a store too: what is forgotten must not stay
        # in a second cache.
        cache, states = path.with_name(INDEX_NAME), path.with_name(STATES_NAME)
    return Location(label, str(path), options, path, cache, states)


def _check_file(path: Path, label: str, *, create: bool) -> None:
    """Check that a store is or can be at the path of a URL, and make the folder it is in."""
    if path.is_dir():
        raise NotAStoreError(f"{label!r} is a folder: give its path without 'sqlite:///'")
    if path.exists() and not path.is_file():
        raise NotAStoreError(f"{label!r} is a device or a pipe: give the path of a file")
    if not path.exists():
        if not create:
            raise StoreNotFoundError(f"there is no store at {label!r}")
        path.parent.mkdir(parents=True, exist_ok=True)
    require_regular(path, label)


def _arguments(url: URL, label: str) -> tuple[str, dict[str, Any]]:
    """The arguments of `sqlite3.connect` for a URL, as parsed by SQLAlchemy."""
    if not url.database and url.host is None:
        raise InputError(f"{label!r} names no file: use ':memory:', or 'sqlite:///path/to/file.db'")
    try:
        positional, options = SQLiteDialect_pysqlite().create_connect_args(url)
    except ArgumentError as error:
        raise StoreError(f"{label!r} has a host, which SQLite URLs do not have") from error
    return str(positional[0]), dict(options)
