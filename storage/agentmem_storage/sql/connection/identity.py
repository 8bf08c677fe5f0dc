"""Identity of a store: its id and the models it is bound to, checked on opening."""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, insert, null, select, update

from agentmem_storage.errors import IncompatibleModelError, StoreError, StoreUnwritableError
from agentmem_storage.records import ModelBinding
from agentmem_storage.sql.connection.base import AnyDatabase
from agentmem_storage.sql.connection.migrations import applied, migrate, pending
from agentmem_storage.sql.schema import seal
from agentmem_storage.sql.schema.tables import meta, sources
from agentmem_storage.timestamps import now_micros


@dataclass(frozen=True, slots=True)
class Identity:
    """The store's id, and the models that it is bound to."""

    store_id: str
    binding: ModelBinding


def prepare(database: AnyDatabase, wanted: ModelBinding) -> Identity:
    """Migrate a database to the current schema and return its identity.

    A store of another model is rejected before anything in it is changed.

    Raises:
        IncompatibleModelError: It is bound to another model bundle or embedder.
        SchemaVersionError: It was written by a newer agentmem.
        StoreUnwritableError: It needs a migration and is read-only.
    """
    with database.read() as connection:
        left = pending(connection, database.steps)
        found = _read(connection) if len(left) < len(database.steps) else None
    if found is not None:
        _require_same_model(database, found.binding, wanted)
    if left:
        migrate(database.write, database.steps)
    if found is None:
        with database.write() as connection:
            # Another process may have created the same store in the meantime.
            found = _read(connection)
            if found is None and connection.scalar(select(exists().select_from(sources))):
                raise StoreError(
                    f"the store at {database.location.label!r} is damaged: it has memories, but no "
                    f"longer says which model made them; restore it from a backup"
                )
            found = found or _write(connection, Identity(uuid.uuid4().hex, wanted))
        _require_same_model(database, found.binding, wanted)
    if found.binding.latents is None and wanted.latents is not None:
        _note_latents(database, wanted)
    return Identity(found.store_id, wanted)


def read_binding(database: AnyDatabase) -> ModelBinding | None:
    """The models that a store is bound to, of any version; None if it is empty."""
    with database.read() as connection:
        if not applied(connection):
            return None
        found = _read(connection)
    return None if found is None else found.binding


def _read(connection: Connection) -> Identity | None:
    latents: ColumnElement[Any] = meta.c.latents
    if connection.dialect.name == "sqlite":
        # In an older store, the column does not exist yet.
        names = {row.name for row in connection.exec_driver_sql("PRAGMA table_info(meta)")}
        latents = latents if meta.c.latents.name in names else null()
    row = connection.execute(
        select(meta.c.store_id, meta.c.model, meta.c.key_dims, latents.label("latents"))
    ).one_or_none()
    if row is None:
        return None
    return Identity(row.store_id, ModelBinding(row.model, row.key_dims, row.latents))


def _write(connection: Connection, identity: Identity) -> Identity:
    connection.execute(
        insert(meta).values(
            id=1,
            created_at=now_micros(),
            store_id=identity.store_id,
            model=identity.binding.model,
            key_dims=identity.binding.embedding_dims,
            latents=identity.binding.latents,
        )
    )
    seal.write(connection)
    return identity


def _note_latents(database: AnyDatabase, binding: ModelBinding) -> None:
    """In a store of an older version, note what its latents depend on."""
    with (
        suppress(StoreUnwritableError),
        database.write() as connection,
        seal.resealed(connection),
    ):
        connection.execute(
            update(meta)
            .where(meta.c.model == binding.model, meta.c.latents.is_(None))
            .values(latents=binding.latents)
        )


def _require_same_model(database: AnyDatabase, found: ModelBinding, wanted: ModelBinding) -> None:
    if (found.model, found.embedding_dims) == (wanted.model, wanted.embedding_dims):
        return
    raise IncompatibleModelError(
        f"the store at {database.location.label!r} was created with model {found.model!r} and "
        f"embeddings of {found.embedding_dims} dims, not with {wanted.model!r} and "
        f"{wanted.embedding_dims} dims: open it with the same bundle and embedder, as in "
        f"Memory(path, model=..., embedder=...), or migrate it",
        model=found.model,
        latents=found.latents,
    )
