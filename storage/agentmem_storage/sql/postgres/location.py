"""Locations of stores in PostgreSQL: URLs, resolved before a server is asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from psycopg import pq
from sqlalchemy import URL, make_url
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import ArgumentError

from agentmem_storage.errors import InputError, StoreError
from agentmem_storage.sql.connection.location import Location
from agentmem_storage.text import lone_surrogate, without_password

SCHEMA: Final = "agentmem"
_DRIVERS = ("postgresql", "postgresql+psycopg")
# PostgreSQL cuts longer names.
_LONGEST: Final = 63
_LONGEST_WAIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Server:
    """Where a store is.

    Attributes:
        location: What the rest of the package knows of it; it has no files here.
        arguments: Those of `psycopg.connect`.
        schema: The schema that is the store.
    """

    location: Location
    arguments: dict[str, Any]
    schema: str


def locate(url: str, *, timeout_s: float) -> Server:
    """Resolve a URL such as ``postgresql://ana@db.example.org/notes``.

    Args:
        url: The URL. Its parameters are those of libpq, such as ``sslmode``; and ``schema``, if the
            store is not in the schema `SCHEMA`.
        timeout_s: How long to wait for the server, in seconds, unless the URL says it.

    Raises:
        StoreError: It cannot be parsed, or has another driver.
        InputError: It names no database, no schema can have the name in it, or a parameter is
            none of libpq's.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise StoreError(
            "the location looks like a URL, but SQLAlchemy cannot parse it: write "
            "postgresql://user@host/database"
        ) from error
    label = without_password(url)
    if lone_surrogate(url) is not None:
        raise InputError(f"{label!r:.500} has half of a surrogate pair in it: leave that out")
    if parsed.drivername not in _DRIVERS:
        raise StoreError(
            f"{label!r:.500} has {parsed.drivername!r} for a driver: write postgresql:// or "
            f"postgresql+psycopg://"
        )
    if not parsed.database:
        raise InputError(f"{label!r:.500} names no database: write postgresql://user@host/database")
    schema = _schema(parsed, label)
    of_server = parsed.difference_update_query(["schema"])
    dialect: Any = PGDialect_psycopg  # which is not typed
    _, arguments = dialect().create_connect_args(of_server)
    _check(arguments, label)
    wait = max(1, math.ceil(min(timeout_s, _LONGEST_WAIT_S)))
    arguments = {"connect_timeout": wait, "application_name": "agentmem"} | arguments
    # Whatever the URL or the environment says: memories are in any language.
    arguments["client_encoding"] = "UTF8"
    return Server(Location(label, label, {}, None, None), arguments, schema)


def _check(arguments: Mapping[str, Any], label: str) -> None:
    """Check names and values that psycopg would take for its own, or refuse without a reason."""
    known = {one.keyword.decode() for one in pq.Conninfo.get_defaults()}
    if unknown := sorted(set(arguments) - known):
        raise InputError(
            f"{label!r:.500} has the parameter {unknown[0]!r:.100}, which libpq does not know: "
            f"leave it out, or write one of those under 'Parameter Key Words' in PostgreSQL's "
            f"documentation"
        )
    wait = arguments.get("connect_timeout", 0)
    if not str(wait).removeprefix("-").isdecimal():
        raise InputError(f"connect_timeout must be a whole number of seconds, got {wait!r:.100}")


def _schema(url: URL, label: str) -> str:
    found = url.query.get("schema", SCHEMA)
    if not isinstance(found, str):
        raise InputError(f"{label!r:.500} names several schemas: a store is in one")
    reserved = found.startswith("pg_") or found in ("information_schema", "public")
    if not found or reserved or "\0" in found or len(found.encode()) > _LONGEST:
        raise InputError(
            f"no store can be in the schema {found!r:.100}: give it one of its own, with a name of "
            f"at most {_LONGEST} bytes"
        )
    return found
