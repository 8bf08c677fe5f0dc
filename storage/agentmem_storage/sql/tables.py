"""Table definitions for queries; `agentmem_storage.sql.migrations` creates the tables.

A scope has sources, a source has chunks. A chunk is one row, except for its lexical terms:
``chunk_terms`` is a contentless FTS5 table whose rowid is the chunk's id. ``changes`` is the log
that a vector index replays. The columns ``key`` and ``key_dims`` hold embeddings; their names are
part of the file format.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    REAL,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    column,
    literal_column,
    table,
    text,
)
from sqlalchemy.types import UserDefinedType


class _AnyType(UserDefinedType[Any]):
    """A column whose values stay as they are: a number is no text, and no text a number."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """What SQLite calls it."""
        return "BLOB"


schema = MetaData()

migrations = Table(
    "migrations",
    schema,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
)

meta = Table(
    "meta",
    schema,
    Column("id", Integer, primary_key=True),
    Column("store_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("key_dims", Integer, nullable=False),
    Column("created_at", Integer, nullable=False),
    # 1 while the lexical index contains terms of deleted chunks, see `write.forget`.
    Column("terms_stale", Integer, nullable=False, server_default=text("0")),
    # Not 0 while the files may contain bytes of deleted rows, see `Database.purge`: a random
    # number, so that a process that has purged does not clear a mark set by another since.
    Column("unpurged", Integer, nullable=False, server_default=text("0")),
)

scopes = Table(
    "scopes",
    schema,
    Column("id", Integer, primary_key=True),
    Column("user_id", Text),
    Column("agent_id", Text),
    Column("session_id", Text),
    Index("scopes_by_words", "user_id", "agent_id", "session_id"),
    sqlite_autoincrement=True,
)
# A plain unique index treats NULLs as distinct and would allow duplicate scopes.
Index(
    "scopes_once",
    text("user_id IS NULL"),
    text("ifnull(user_id, '')"),
    text("agent_id IS NULL"),
    text("ifnull(agent_id, '')"),
    text("session_id IS NULL"),
    text("ifnull(session_id, '')"),
    unique=True,
    _table=scopes,
)

sources = Table(
    "sources",
    schema,
    Column("id", Integer, primary_key=True),
    Column("scope_id", ForeignKey("scopes.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("role", Text),
    Column("name", Text),
    Column("title", Text),
    Column("uri", Text),
    Column("created_at", Integer, nullable=False),
    Column("added_at", Integer, nullable=False),
    Column("chars", Integer, nullable=False),
    # NULL once a part of the source is forgotten, because the content is then incomplete.
    Column("content_hash", LargeBinary),
    # JSON and stored text are bytes, so that damage is detected here, not inside the driver.
    Column("metadata", LargeBinary),
    # Distinguishes sources of equal content, see `agentmem_storage.sql.duplicates`.
    Column("occurrence", Integer, nullable=False, server_default=text("0")),
    # A fingerprint of its first content if that has changed, see `agentmem_storage.sql.former`.
    Column("former", LargeBinary),
    Index("sources_once", "scope_id", "content_hash", "occurrence", unique=True),
    # The order in which things were said; the id is named so that row values can use it.
    Index("sources_in_time", "scope_id", "created_at", "id"),
    Index("sources_changed", "scope_id", "former", sqlite_where=text("former IS NOT NULL")),
    sqlite_autoincrement=True,
)

# Places of sources that were forgotten, by their ids, see `agentmem_storage.sql.former`.
forgotten = Table(
    "forgotten",
    schema,
    Column("id", Integer, primary_key=True),
    Column("scope_id", Integer, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("added_at", Integer, nullable=False),
    Column("former", LargeBinary, nullable=False),
    Index("forgotten_by_content", "scope_id", "former"),
    Index("forgotten_in_time", "scope_id", "created_at", "id"),
)

# The values of the sources' metadata by name, see `agentmem_storage.sql.metadata_values`.
metadata_values = Table(
    "metadata_values",
    schema,
    Column("source_id", Integer, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("kind", Integer, nullable=False),
    Column("value", _AnyType()),
    Index("metadata_values_by_name", "name", "kind", "value"),
    sqlite_with_rowid=False,
)

chunks = Table(
    "chunks",
    schema,
    Column("id", Integer, primary_key=True),
    Column("source_id", ForeignKey("sources.id"), nullable=False),
    Column("scope_id", ForeignKey("scopes.id"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("fidelity", REAL, nullable=False),
    Column("text_hash", LargeBinary, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("patch", LargeBinary),
    Column("latents", LargeBinary, nullable=False),
    Column("text", LargeBinary),
    # Its number within the scope; NULL on rows that predate episodes: each is its own.
    Column("episode", Integer),
    Index("chunks_in_source", "source_id", "ordinal", unique=True),
    # SQLite appends the row's id to every index, so this one is sorted by id within a scope.
    Index("chunks_in_scope", "scope_id"),
    Index("chunks_in_episode", "scope_id", "episode"),
    sqlite_autoincrement=True,
)

# Ids of chunks that an update replaced, see `agentmem_storage.sql.replaced`.
replaced = Table(
    "replaced",
    schema,
    Column("chunk_id", Integer, primary_key=True),
    Column("source_id", Integer, nullable=False),
    Index("replaced_in_source", "source_id"),
)

changes = Table(
    "changes",
    schema,
    Column("seq", Integer, primary_key=True),
    Column("op", Integer, nullable=False),
    Column("chunk_id", Integer, nullable=False),
    # A random number on the last change of a write, to distinguish histories.
    Column("stamp", Integer),
    sqlite_autoincrement=True,
)

# FTS5 tables are virtual: outside `schema`, so that they are not created as plain tables.
chunk_terms = table("chunk_terms", column("rowid", Integer), column("terms", Text))
chunk_terms_name = literal_column("chunk_terms", Text)
chunk_terms_sizes = table("chunk_terms_docsize", column("id", Integer))
