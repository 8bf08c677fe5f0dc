"""Schema migrations: the ordered steps that bring a store's tables to the current schema.

Append only: a released step is never changed, because stores exist that ran it. Each step and the
record that it ran share one transaction, so a crash never leaves half a step. The steps of a new
store, which have nothing to rewrite, share one transaction too, because each costs a wait for the
disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, inspect, select

from agentmem_storage.errors import SchemaVersionError, StoreError
from agentmem_storage.sql.connection import empty_tables
from agentmem_storage.sql.schema import (
    row_counts,
    row_sums,
    seal,
    sums,
    tables,
    vector_sums,
)
from agentmem_storage.sql.schema.tables import migrations
from agentmem_storage.sql.where import metadata_values


@dataclass(frozen=True, slots=True)
class Step:
    """One named change to the schema."""

    name: str
    apply: Callable[[Connection], None]


def applied(connection: Connection) -> list[str]:
    """Names of the steps that this store has run, in order; read-only."""
    if not inspect(connection).has_table(migrations.name):
        return []
    return list(connection.scalars(select(migrations.c.name).order_by(migrations.c.id)))


def pending(connection: Connection, steps: Sequence[Step]) -> list[Step]:
    """The steps that this store has not run; read-only.

    Raises:
        SchemaVersionError: The store has run a step that this version does not have.
        StoreError: The list of steps is damaged.
    """
    done = applied(connection)
    known = [step.name for step in steps]
    if done != known[: len(done)]:
        unknown = next((name for name in done if name not in known), None)
        if unknown is None:
            raise StoreError(
                f"the store says that it has run the steps {done!r:.500} of its schema, in another "
                f"order than they have: it is damaged; restore it from a backup"
            )
        raise SchemaVersionError(
            f"the store was written by a newer agentmem: it has run step {unknown!r}, which this "
            f"version does not have; upgrade with: pip install -U latent-agentmem"
        )
    return list(steps[len(done) :])


def migrate(
    write: Callable[[], AbstractContextManager[Connection]], steps: Sequence[Step]
) -> list[str]:
    """Run the pending steps: of a new store all in one transaction, of another each in its own.

    Args:
        write: Opens a transaction that holds the write lock.
        steps: All steps, in order.

    Returns:
        Names of the steps that ran.

    Raises:
        SchemaVersionError: The store was written by a newer version.
    """
    ran: list[str] = []
    while True:
        with write() as connection:
            # Checked again under the lock each time: another process may be migrating too.
            left = pending(connection, steps)
            now = left if len(left) == len(steps) else left[:1]
            if now and len(now) == len(steps):
                empty_tables.make(connection, [step.apply for step in steps])
            else:
                for step in now:
                    step.apply(connection)
            if now:
                # Above the last: a database may leave out numbers by itself.
                last = connection.scalar(select(func.max(migrations.c.id))) or 0
                rows = [{"id": last + n, "name": step.name} for n, step in enumerate(now, start=1)]
                connection.execute(insert(migrations), rows)
            if now and len(now) == len(left):
                seal.write(connection)
        ran += [step.name for step in now]
        if len(now) == len(left):
            return ran


def _first_tables(connection: Connection) -> None:
    for statement in _FIRST_TABLES:
        connection.exec_driver_sql(statement)


def _episodes(connection: Connection) -> None:
    # Existing rows keep NULL, which makes each its own episode: numbering them would rewrite
    # every row of the store.
    connection.exec_driver_sql("ALTER TABLE chunks ADD COLUMN episode INTEGER")
    connection.exec_driver_sql("CREATE INDEX chunks_in_episode ON chunks (scope_id, episode)")


def _occurrences(connection: Connection) -> None:
    # The default stands in the schema, so no row is rewritten.
    for statement in (
        "ALTER TABLE sources ADD COLUMN occurrence INTEGER NOT NULL DEFAULT 0",
        "DROP INDEX sources_once",
        "CREATE UNIQUE INDEX sources_once ON sources (scope_id, content_hash, occurrence)",
        "CREATE INDEX sources_in_time ON sources (scope_id, created_at, id)",
    ):
        connection.exec_driver_sql(statement)


def _words(connection: Connection) -> None:
    # The words of a text used to be split by FTS5 itself, which breaks words at combining marks and
    # drops emoji. Now they arrive split, and every character but a space belongs to a word. The
    # texts are not at hand here: whoever opens the store rebuilds the index, as when it is stale.
    connection.exec_driver_sql("DROP TABLE chunk_terms")
    connection.exec_driver_sql(
        "CREATE VIRTUAL TABLE chunk_terms USING fts5 (terms, content='', tokenize="
        "\"porter unicode61 remove_diacritics 2 categories 'L* M* N* P* S* C*'\")"
    )
    connection.exec_driver_sql(
        "UPDATE meta SET terms_stale = 1 WHERE EXISTS (SELECT 1 FROM chunks)"
    )


def _former(connection: Connection) -> None:
    for statement in (
        "ALTER TABLE sources ADD COLUMN former BLOB",
        "CREATE INDEX sources_changed ON sources (scope_id, former) WHERE former IS NOT NULL",
        """
        CREATE TABLE forgotten (
            id INTEGER PRIMARY KEY,
            scope_id INTEGER NOT NULL,
            created_at INTEGER NOT NULL,
            added_at INTEGER NOT NULL,
            former BLOB NOT NULL
        )
        """,
        "CREATE INDEX forgotten_by_content ON forgotten (scope_id, former)",
        "CREATE INDEX forgotten_in_time ON forgotten (scope_id, created_at, id)",
    ):
        connection.exec_driver_sql(statement)


def _letters(connection: Connection) -> None:
    # Letters with a plain form were indexed as they are written; see
    # `agentmem_storage.words.letters`. Rebuilt by whoever opens the store, as in the step `_words`.
    connection.exec_driver_sql("INSERT INTO chunk_terms (chunk_terms) VALUES ('delete-all')")
    connection.exec_driver_sql(
        "UPDATE meta SET terms_stale = 1 WHERE EXISTS (SELECT 1 FROM chunks)"
    )


def _replaced(connection: Connection) -> None:
    for statement in (
        "CREATE TABLE replaced (chunk_id INTEGER PRIMARY KEY, source_id INTEGER NOT NULL)",
        "CREATE INDEX replaced_in_source ON replaced (source_id)",
    ):
        connection.exec_driver_sql(statement)


def _numbers(connection: Connection) -> None:
    # Symbols were no words, a number and its unit were one, and groups of digits were not joined.
    _letters(connection)


def _sums(connection: Connection) -> None:
    # Of what is there: only damage from now on can be found.
    connection.exec_driver_sql("ALTER TABLE sources ADD COLUMN sums BLOB")
    sums.write_all(connection)


def _metadata_values(connection: Connection) -> None:
    connection.exec_driver_sql(
        """
        CREATE TABLE metadata_values (
            source_id INTEGER NOT NULL,
            name TEXT NOT NULL,
            kind INTEGER NOT NULL,
            value BLOB,
            PRIMARY KEY (source_id, name)
        ) WITHOUT ROWID
        """
    )
    connection.exec_driver_sql(
        "CREATE INDEX metadata_values_by_name ON metadata_values (name, kind, value)"
    )
    metadata_values.rebuild(connection)


def _external_ids(connection: Connection) -> None:
    # Nothing is rewritten: the checksums of a source without the new columns are those of before.
    for statement in (
        "ALTER TABLE sources ADD COLUMN external_id TEXT",
        "ALTER TABLE sources ADD COLUMN expires_at INTEGER",
        """
        CREATE UNIQUE INDEX sources_by_external_id ON sources (external_id, scope_id)
        WHERE external_id IS NOT NULL
        """,
        "CREATE INDEX sources_expiring ON sources (expires_at) WHERE expires_at IS NOT NULL",
    ):
        connection.exec_driver_sql(statement)


def _links(connection: Connection) -> None:
    for statement in (
        """
        CREATE TABLE links (
            id INTEGER PRIMARY KEY,
            old_id INTEGER NOT NULL REFERENCES sources (id),
            new_id INTEGER NOT NULL REFERENCES sources (id),
            score REAL,
            linked_at INTEGER NOT NULL,
            sum INTEGER NOT NULL
        )
        """,
        "CREATE UNIQUE INDEX links_once ON links (old_id, new_id)",
        "CREATE INDEX links_by_new ON links (new_id)",
    ):
        connection.exec_driver_sql(statement)


def _staged(connection: Connection) -> None:
    for statement in (
        "ALTER TABLE meta ADD COLUMN latents TEXT",
        "ALTER TABLE meta ADD COLUMN staged_for TEXT",
        """
        CREATE TABLE staged (
            chunk_id INTEGER NOT NULL REFERENCES chunks (id) ON DELETE CASCADE,
            part INTEGER NOT NULL,
            "key" BLOB NOT NULL,
            start INTEGER,
            "end" INTEGER,
            tokens INTEGER,
            fidelity REAL,
            text_hash BLOB,
            patch BLOB,
            latents BLOB,
            text BLOB,
            PRIMARY KEY (chunk_id, part)
        )
        """,
    ):
        connection.exec_driver_sql(statement)


def _checks(connection: Connection) -> None:
    for table, column in (
        ("meta", "sum"),
        ("forgotten", "sum"),
        ("replaced", "sum"),
        ("staged", "sum"),
        ("changes", "counters"),
        ("changes", "sum"),
        ("sources", "vectors_sum"),
    ):
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column} INTEGER")
    connection.exec_driver_sql(
        """
        CREATE TABLE quarantine (
            chunk_id INTEGER PRIMARY KEY,
            user_id TEXT,
            agent_id TEXT,
            session_id TEXT,
            why TEXT NOT NULL,
            noted_at INTEGER NOT NULL,
            rows BLOB NOT NULL,
            sum INTEGER
        )
        """
    )
    # Of what is there: only damage from now on can be found.
    for one in (tables.forgotten, tables.replaced, tables.staged, tables.changes):
        row_sums.write_all(connection, one)
    vector_sums.write_all(connection)


def _audit(connection: Connection) -> None:
    for statement in (
        "ALTER TABLE meta ADD COLUMN audited INTEGER NOT NULL DEFAULT 0",
        """
        CREATE TABLE audit (
            id INTEGER PRIMARY KEY,
            at INTEGER NOT NULL,
            op TEXT NOT NULL,
            user_id TEXT,
            agent_id TEXT,
            session_id TEXT,
            source_id INTEGER,
            chunk_ids BLOB,
            sum INTEGER NOT NULL
        )
        """,
        "CREATE INDEX audit_by_user ON audit (user_id)",
    ):
        connection.exec_driver_sql(statement)


def _times(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE INDEX sources_by_time ON sources (created_at)")


def _totals(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE totals (chunks INTEGER NOT NULL)")
    row_counts.recount(connection)


# "AgMm", written to the file header by the first step; identifies the file as a store.
APPLICATION_ID = 0x41674D6D

_FIRST_TABLES = (
    f"PRAGMA application_id = {APPLICATION_ID}",
    "CREATE TABLE migrations (id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
    """
    CREATE TABLE meta (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        store_id TEXT NOT NULL,
        model TEXT NOT NULL,
        key_dims INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        terms_stale INTEGER NOT NULL DEFAULT 0,
        unpurged INTEGER NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE scopes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user_id TEXT,
        agent_id TEXT,
        session_id TEXT
    )
    """,
    "CREATE INDEX scopes_by_words ON scopes (user_id, agent_id, session_id)",
    """
    CREATE UNIQUE INDEX scopes_once ON scopes (
        user_id IS NULL, ifnull(user_id, ''),
        agent_id IS NULL, ifnull(agent_id, ''),
        session_id IS NULL, ifnull(session_id, '')
    )
    """,
    """
    CREATE TABLE sources (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        scope_id INTEGER NOT NULL REFERENCES scopes (id),
        kind TEXT NOT NULL,
        role TEXT,
        name TEXT,
        title TEXT,
        uri TEXT,
        created_at INTEGER NOT NULL,
        added_at INTEGER NOT NULL,
        chars INTEGER NOT NULL,
        content_hash BLOB,
        metadata BLOB
    )
    """,
    "CREATE UNIQUE INDEX sources_once ON sources (scope_id, content_hash)",
    """
    CREATE TABLE chunks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        source_id INTEGER NOT NULL REFERENCES sources (id),
        scope_id INTEGER NOT NULL REFERENCES scopes (id),
        ordinal INTEGER NOT NULL,
        start INTEGER NOT NULL,
        "end" INTEGER NOT NULL,
        tokens INTEGER NOT NULL,
        fidelity REAL NOT NULL,
        text_hash BLOB NOT NULL,
        "key" BLOB NOT NULL,
        patch BLOB,
        latents BLOB NOT NULL,
        text BLOB
    )
    """,
    "CREATE UNIQUE INDEX chunks_in_source ON chunks (source_id, ordinal)",
    "CREATE INDEX chunks_in_scope ON chunks (scope_id)",
    """
    CREATE TABLE changes (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        op INTEGER NOT NULL,
        chunk_id INTEGER NOT NULL,
        stamp INTEGER
    )
    """,
    # Contentless: the table keeps postings only, no text.
    """
    CREATE VIRTUAL TABLE chunk_terms USING fts5 (
        terms, content='', tokenize='porter unicode61 remove_diacritics 2'
    )
    """,
)

STEPS: tuple[Step, ...] = (
    Step("0001_first_tables", _first_tables),
    Step("0002_episodes", _episodes),
    Step("0003_occurrences", _occurrences),
    Step("0004_words", _words),
    Step("0005_former", _former),
    Step("0006_letters", _letters),
    Step("0007_replaced", _replaced),
    Step("0008_numbers", _numbers),
    Step("0009_sums", _sums),
    Step("0010_metadata_values", _metadata_values),
    Step("0011_external_ids", _external_ids),
    Step("0012_links", _links),
    Step("0014_staged", _staged),
    Step("0015_checks", _checks),
    Step("0016_audit", _audit),
    Step("0017_times", _times),
    Step("0018_totals", _totals),
)
