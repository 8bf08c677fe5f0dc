"""Table definitions for queries; `agentmem_storage.sql.connection.migrations` creates the tables.

A scope has sources, a source has chunks. A chunk is one row, except for its lexical terms:
``chunk_terms`` is a contentless FTS5 table whose rowid is the chunk's id (in PostgreSQL, see
`agentmem_storage.sql.lexical.tsvectors`). ``changes`` is the log that a vector index replays. The
columns ``key`` and ``key_dims`` hold embeddings; their names are part of the file format.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    column,
    literal_column,
    table,
    text,
)

from agentmem_storage.sql.schema.any_value import AnyValue
from agentmem_storage.sql.schema.columns import blob, real, whole, words

schema = MetaData()

migrations = Table(
    "migrations",
    schema,
    Column("id", Integer, primary_key=True),
    words("name"),
)

meta = Table(
    "meta",
    schema,
    Column("id", Integer, primary_key=True),
    words("store_id"),
    words("model"),
    whole("key_dims"),
    whole("created_at"),
    # 1 while the lexical index contains terms of deleted chunks, see `deletion.forget`.
    whole("terms_stale", server_default=text("0")),
    # Not 0 while the files may contain bytes of deleted rows, see `Database.purge`: a random
    # number, so that a process that has purged does not clear a mark set by another since. Below 0
    # if the lexical index has no traces of them.
    whole("unpurged", server_default=text("0")),
    # What the latents were made by; NULL in a store that has not been opened since there is this.
    words("latents", optional=True),
    # The model that the rows of ``staged`` are for.
    words("staged_for", optional=True),
    # A checksum, see `agentmem_storage.sql.schema.seal`.
    whole("sum", optional=True),
    # 1 while an audit log is kept.
    whole("audited", server_default=text("0")),
)

scopes = Table(
    "scopes",
    schema,
    Column("id", Integer, primary_key=True),
    words("user_id", optional=True),
    words("agent_id", optional=True),
    words("session_id", optional=True),
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
    whole("scope_id", ForeignKey("scopes.id")),
    words("kind"),
    words("role", optional=True),
    words("name", optional=True),
    words("title", optional=True),
    words("uri", optional=True),
    whole("created_at"),
    whole("added_at"),
    whole("chars"),
    # NULL once a part of the source is forgotten, because the content is then incomplete.
    blob("content_hash", optional=True),
    # JSON and stored text are bytes, so that damage is detected here, not inside the driver.
    blob("metadata", optional=True),
    # Distinguishes sources of equal content, see `agentmem_storage.sql.writing.duplicates`.
    whole("occurrence", server_default=text("0")),
    # A fingerprint of its first content if that has changed, see
    # `agentmem_storage.sql.logs.former`.
    blob("former", optional=True),
    # Checksums over the fields above and those of its chunks, see
    # `agentmem_storage.sql.schema.sums`.
    blob("sums", optional=True),
    # The caller's own id, see `agentmem_storage.sql.writing.external`.
    words("external_id", optional=True),
    # From this time on, the source is in no result, see `agentmem_storage.sql.where.expiry`.
    whole("expires_at", optional=True),
    # Of the vectors of its chunks, see `agentmem_storage.sql.schema.vector_sums`.
    whole("vectors_sum", optional=True),
    Index("sources_once", "scope_id", "content_hash", "occurrence", unique=True),
    # The order in which things were said; the id is named so that row values can use it.
    Index("sources_in_time", "scope_id", "created_at", "id"),
    Index("sources_changed", "scope_id", "former", sqlite_where=text("former IS NOT NULL")),
    Index(
        "sources_by_external_id",
        "external_id",
        "scope_id",
        unique=True,
        sqlite_where=text("external_id IS NOT NULL"),
    ),
    # For times within the whole store.
    Index("sources_by_time", "created_at"),
    Index("sources_expiring", "expires_at", sqlite_where=text("expires_at IS NOT NULL")),
    sqlite_autoincrement=True,
)

# Places of sources that were forgotten, by their ids, see `agentmem_storage.sql.logs.former`.
forgotten = Table(
    "forgotten",
    schema,
    Column("id", Integer, primary_key=True),
    whole("scope_id"),
    whole("created_at"),
    whole("added_at"),
    blob("former"),
    whole("sum", optional=True),
    Index("forgotten_by_content", "scope_id", "former"),
    Index("forgotten_in_time", "scope_id", "created_at", "id"),
)

# The values of the sources' metadata by name, see `agentmem_storage.sql.where.metadata_values`.
metadata_values = Table(
    "metadata_values",
    schema,
    Column("source_id", Integer, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("kind", Integer, nullable=False),
    Column("value", AnyValue()),
    Index("metadata_values_by_name", "name", "kind", "value"),
    sqlite_with_rowid=False,
)

chunks = Table(
    "chunks",
    schema,
    Column("id", Integer, primary_key=True),
    whole("source_id", ForeignKey("sources.id")),
    whole("scope_id", ForeignKey("scopes.id")),
    whole("ordinal"),
    whole("start"),
    whole("end"),
    whole("tokens"),
    real("fidelity"),
    blob("text_hash"),
    blob("key"),
    blob("patch", optional=True),
    blob("latents"),
    blob("text", optional=True),
    # Its number within the scope; NULL on rows that predate episodes: each is its own.
    whole("episode", optional=True),
    Index("chunks_in_source", "source_id", "ordinal", unique=True),
    # SQLite appends the row's id to every index, so this one is sorted by id within a scope.
    Index("chunks_in_scope", "scope_id"),
    Index("chunks_in_episode", "scope_id", "episode"),
    sqlite_autoincrement=True,
)

# Chunks as another model encodes them, see `agentmem_storage.sql.writing.staging`.
staged = Table(
    "staged",
    schema,
    Column("chunk_id", Integer, ForeignKey("chunks.id", ondelete="CASCADE"), primary_key=True),
    Column("part", Integer, primary_key=True),
    blob("key"),
    whole("start", optional=True),
    whole("end", optional=True),
    whole("tokens", optional=True),
    real("fidelity", optional=True),
    blob("text_hash", optional=True),
    blob("patch", optional=True),
    blob("latents", optional=True),
    blob("text", optional=True),
    whole("sum", optional=True),
)

# Damaged chunks that were taken out of use, see `agentmem_storage.sql.logs.quarantine`.
quarantine = Table(
    "quarantine",
    schema,
    Column("chunk_id", Integer, primary_key=True),
    words("user_id", optional=True),
    words("agent_id", optional=True),
    words("session_id", optional=True),
    words("why"),
    whole("noted_at"),
    blob("rows"),
    whole("sum", optional=True),
)

# Ids of chunks that an update replaced, see `agentmem_storage.sql.logs.replaced`.
replaced = Table(
    "replaced",
    schema,
    Column("chunk_id", Integer, primary_key=True),
    Column("source_id", Integer, nullable=False),
    whole("sum", optional=True),
    Index("replaced_in_source", "source_id"),
)

# Which source supersedes which, see `agentmem_storage.sql.writing.links`.
links = Table(
    "links",
    schema,
    Column("id", Integer, primary_key=True),
    whole("old_id", ForeignKey("sources.id")),
    whole("new_id", ForeignKey("sources.id")),
    # NULL if somebody said so, and it was not found by comparing the two.
    real("score", optional=True),
    whole("linked_at"),
    # A checksum over the fields above.
    whole("sum"),
    Index("links_once", "old_id", "new_id", unique=True),
    Index("links_by_new", "new_id"),
)

# Whose memories were changed, and when, see `agentmem_storage.sql.logs.audit`.
audit = Table(
    "audit",
    schema,
    Column("id", Integer, primary_key=True),
    whole("at"),
    words("op"),
    words("user_id", optional=True),
    words("agent_id", optional=True),
    words("session_id", optional=True),
    whole("source_id", optional=True),
    # As JSON.
    blob("chunk_ids", optional=True),
    whole("sum"),
    Index("audit_by_user", "user_id"),
)

changes = Table(
    "changes",
    schema,
    Column("seq", Integer, primary_key=True),
    whole("op"),
    whole("chunk_id"),
    # A random number on the last change of a write, to distinguish histories.
    whole("stamp", optional=True),
    # On that change too, a checksum of the numbers of ids given so far, see `changes`.
    whole("counters", optional=True),
    whole("sum", optional=True),
    sqlite_autoincrement=True,
)

# How many chunks there are, in one row; see `agentmem_storage.sql.schema.row_counts`.
totals = Table("totals", schema, whole("chunks"))

# FTS5 tables are virtual: outside `schema`, so that they are not created as plain tables. In
# PostgreSQL, that of the sizes is a view.
chunk_terms = table("chunk_terms", column("rowid", Integer), column("terms", Text))
chunk_terms_name = literal_column("chunk_terms", Text)
chunk_terms_sizes = table("chunk_terms_docsize", column("id", Integer))
