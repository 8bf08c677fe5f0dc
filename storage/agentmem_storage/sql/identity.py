"""Whose store a database is, and making it one."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, insert, select

from agentmem_storage.errors import IncompatibleModelError
from agentmem_storage.moments import now_micros
from agentmem_storage.sql.database import Database
from agentmem_storage.sql.migrations import STEPS, migrate, pending
from agentmem_storage.sql.tables import meta


@dataclass(frozen=True, slots=True)
class Identity:
    """The store's own name, the model bundle that it belongs to, and the dims of its keys."""

    store_id: str
    model: str
    key_dims: int


def prepare(database: Database, *, model: str, key_dims: int) -> Identity:
    """Bring a database to the present form and read whose it is.

    A store of another model is refused before anything in it is changed.

    Raises:
        IncompatibleModelError: It belongs to another model bundle.
        SchemaVersionError: It was written by a newer agentmem.
        StoreUnwritableError: It would have to be changed, and cannot be.
    """
    wanted = Identity(uuid.uuid4().hex, model, key_dims)
    with database.read() as connection:
        left = pending(connection, STEPS)
        found = _read(connection) if len(left) < len(STEPS) else None
    if found is not None:
        _require_same_model(database, found, wanted)
    if left:
        migrate(database.write, STEPS)
    if found is None:
        with database.write() as connection:
            # Another process may have made the same store meanwhile.
            found = _read(connection) or _write(connection, wanted)
        _require_same_model(database, found, wanted)
    return found


def _read(connection: Connection) -> Identity | None:
    row = connection.execute(select(meta.c.store_id, meta.c.model, meta.c.key_dims)).one_or_none()
    return None if row is None else Identity(row.store_id, row.model, row.key_dims)


def _write(connection: Connection, identity: Identity) -> Identity:
    values = {"id": 1, "created_at": now_micros(), **asdict(identity)}
    connection.execute(insert(meta).values(values))
    return identity


def _require_same_model(database: Database, found: Identity, wanted: Identity) -> None:
    if (found.model, found.key_dims) != (wanted.model, wanted.key_dims):
        raise IncompatibleModelError(
            f"the store at {database.place.label!r} was created with model {found.model!r} "
            f"and embeddings of {found.key_dims} dims, not with {wanted.model!r} and "
            f"{wanted.key_dims} dims: open it with the same bundle and embedder, as in "
            f"Memory(path, model=..., embedder=...)"
        )
