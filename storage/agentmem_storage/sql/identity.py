"""Identity of a store: its id and the model it is bound to, checked on opening."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, exists, insert, select

from agentmem_storage.errors import IncompatibleModelError, StoreError
from agentmem_storage.sql.database import Database
from agentmem_storage.sql.migrations import STEPS, migrate, pending
from agentmem_storage.sql.tables import meta, sources
from agentmem_storage.timestamps import now_micros


@dataclass(frozen=True, slots=True)
class Identity:
    """The store's id, the model bundle it is bound to, and the dims of its embeddings."""

    store_id: str
    model: str
    embedding_dims: int


def prepare(database: Database, *, model: str, embedding_dims: int) -> Identity:
    """Migrate a database to the current schema and return its identity.

    A store of another model is rejected before anything in it is changed.

    Raises:
        IncompatibleModelError: It is bound to another model bundle.
        SchemaVersionError: It was written by a newer agentmem.
        StoreUnwritableError: It needs a migration and is read-only.
    """
    wanted = Identity(uuid.uuid4().hex, model, embedding_dims)
    with database.read() as connection:
        left = pending(connection, STEPS)
        found = _read(connection) if len(left) < len(STEPS) else None
    if found is not None:
        _require_same_model(database, found, wanted)
    if left:
        migrate(database.write, STEPS)
    if found is None:
        with database.write() as connection:
            # Another process may have created the same store in the meantime.
            found = _read(connection)
            if found is None and connection.scalar(select(exists().select_from(sources))):
                raise StoreError(
                    f"the store at {database.location.label!r} is damaged: it has memories, but no "
                    f"longer says which model made them; restore it from a backup"
                )
            found = found or _write(connection, wanted)
        _require_same_model(database, found, wanted)
    return found


def _read(connection: Connection) -> Identity | None:
    row = connection.execute(select(meta.c.store_id, meta.c.model, meta.c.key_dims)).one_or_none()
    return None if row is None else Identity(row.store_id, row.model, row.key_dims)


def _write(connection: Connection, identity: Identity) -> Identity:
    connection.execute(
        insert(meta).values(
            id=1,
            created_at=now_micros(),
            store_id=identity.store_id,
            model=identity.model,
            key_dims=identity.embedding_dims,
        )
    )
    return identity


def _require_same_model(database: Database, found: Identity, wanted: Identity) -> None:
    if (found.model, found.embedding_dims) != (wanted.model, wanted.embedding_dims):
        raise IncompatibleModelError(
            f"the store at {database.location.label!r} was created with model {found.model!r} "
            f"and embeddings of {found.embedding_dims} dims, not with {wanted.model!r} and "
            f"{wanted.embedding_dims} dims: open it with the same bundle and embedder, as in "
            f"Memory(path, model=..., embedder=...)"
        )
