"""The part of the integrity check that looks at what stands beside sources and chunks."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Table

from agentmem_storage.records import Problem
from agentmem_storage.sql.connection.base import AnyDatabase
from agentmem_storage.sql.lexical import lexicon, lexicon_pages
from agentmem_storage.sql.logs import changes
from agentmem_storage.sql.schema import row_counts, row_sums, seal
from agentmem_storage.sql.schema.tables import audit, forgotten, quarantine, replaced, staged
from agentmem_storage.sql.schema.tables import changes as log

# What a row of each table says.
_NOTES = {
    forgotten.name: "the place of a forgotten message",
    replaced.name: "what replaced a memory",
    staged.name: "what a migration has made",
    quarantine.name: "a memory in quarantine",
    audit.name: "who changed a memory, and when",
}


def own_row(database: AnyDatabase) -> Iterator[Problem]:
    """What the store says about itself."""
    with database.read() as connection:
        holds = seal.holds(connection)
        steps = connection.exec_driver_sql("SELECT id FROM migrations ORDER BY id").scalars().all()
    if not holds or steps != list(range(1, len(steps) + 1)):
        yield Problem(
            None,
            "what the store says about itself is not as it was written: its id, its model, its "
            "schema, or the steps it has run",
            repair="own row",
        )


def notes(database: AnyDatabase) -> Iterator[Problem]:
    """Rows that say something that stands nowhere else."""
    for table in (forgotten, replaced, staged, quarantine, audit):
        with database.read() as connection:
            keys = row_sums.damaged(connection, table)
        for key in keys:
            yield Problem(
                None,
                f"row {', '.join(map(repr, key)):.100} of {table.name!r} was altered: it says "
                f"{_NOTES[table.name]}",
                repair="notes",
            )


def change_log(database: AnyDatabase) -> Iterator[Problem]:
    """The rows of the log, and the numbers of ids given so far."""
    with database.read() as connection:
        altered = _altered(log, row_sums.damaged(connection, log))
        counted = changes.counters_hold(connection)
    if altered is not None:
        yield altered
    if not counted:
        yield Problem(
            None,
            "the numbers of the ids given so far are not those of the last change: an id could be "
            "given again",
            repair="log",
        )


def term_counts(database: AnyDatabase) -> Iterator[Problem]:
    """The totals that the scores of words depend on."""
    with database.read() as connection:
        counted = lexicon.counts_hold(connection)
        kept = row_counts.holds(connection)
        found = lexicon_pages.routes_hold(connection)
    if not counted:
        what = "lexical index: its totals are not those of its rows: reindex"
        yield Problem(None, what, repair="terms")
    if not kept:
        what = "the number of memories that is kept is not that of the rows: reindex"
        yield Problem(None, what, repair="terms")
    if not found:
        what = "lexical index: not all of its pages can be found: reindex"
        yield Problem(None, what, repair="terms")


def _altered(table: Table, keys: list[tuple[object, ...]]) -> Problem | None:
    if not keys:
        return None
    listed = ", ".join(repr(key[0]) for key in keys[:5]) + (", ..." if len(keys) > 5 else "")
    return Problem(
        None,
        f"the change log is damaged: rows {listed} of {table.name!r} were altered",
        repair="log",
    )
