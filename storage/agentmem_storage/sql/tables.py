"""The tables as queries see them; `agentmem_storage.sql.migrations` makes them.

A scope has sources, a source has chunks. Everything a chunk is stands in its one row, except what
the lexical index knows of it: ``chunk_terms`` is a contentless FTS5 table whose rowid is the
chunk's id. ``changes`` tells a search index what it has not seen yet.
"""

from __future__ import annotations

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
    # 1 while the lexical index holds terms of chunks that are gone, see `writing.forget`.
    Column("terms_stale", Integer, nullable=False, server_default=text("0")),
    # Not 0 while the files may hold bytes of rows that are gone, see `Database.purge`: a random
    # number, so that a process that has purged does not take back what another has noted since.
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
# To a plain unique index no two NULLs are equal, so it would let one triple in twice.
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
    # NULL once a part of the source is forgotten: what is left is no longer that content.
    Column("content_hash", LargeBinary),
    # JSON and kept text are bytes: damage then comes to light here, not inside the driver.
    Column("metadata", LargeBinary),
    Index("sources_once", "scope_id", "content_hash", unique=True),
    sqlite_autoincrement=True,
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
    # Its number within the scope; NULL on rows that are older than episodes: each is alone.
    Column("episode", Integer),
    Index("chunks_in_source", "source_id", "ordinal", unique=True),
    # Every index ends in the row's id, so this one is in the order of ids within a scope.
    Index("chunks_in_scope", "scope_id"),
    Index("chunks_in_episode", "scope_id", "episode"),
    sqlite_autoincrement=True,
)

changes = Table(
    "changes",
    schema,
    Column("seq", Integer, primary_key=True),
    Column("op", Integer, nullable=False),
    Column("chunk_id", Integer, nullable=False),
    # A random number on the last change of a write, so that two histories are told apart.
    Column("stamp", Integer),
    sqlite_autoincrement=True,
)

# FTS5 tables are virtual: outside `schema`, so that nothing tries to create them as plain ones.
chunk_terms = table("chunk_terms", column("rowid", Integer), column("terms", Text))
chunk_terms_name = literal_column("chunk_terms", Text)
chunk_terms_sizes = table("chunk_terms_docsize", column("id", Integer))
