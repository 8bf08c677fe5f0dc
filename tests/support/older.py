"""Stores as older versions wrote them: the steps of their schema are undone, the last one first."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from agentmem_storage.sql.connection.migrations import STEPS

_NO_TERMS = "INSERT INTO chunk_terms (chunk_terms) VALUES ('delete-all')"
# Of every step but the first, what undoes it.
UNDO = {
    "0002_episodes": (
        "DROP INDEX chunks_in_episode",
        "ALTER TABLE chunks DROP COLUMN episode",
    ),
    "0003_occurrences": (
        "DROP INDEX sources_in_time",
        "DROP INDEX sources_once",
        "ALTER TABLE sources DROP COLUMN occurrence",
        "CREATE UNIQUE INDEX sources_once ON sources (scope_id, content_hash)",
    ),
    "0004_words": (_NO_TERMS,),
    "0005_former": (
        "DROP TABLE forgotten",
        "DROP INDEX sources_changed",
        "ALTER TABLE sources DROP COLUMN former",
    ),
    "0006_letters": (_NO_TERMS,),
    "0007_replaced": ("DROP TABLE replaced",),
    "0008_numbers": (_NO_TERMS,),
    "0009_sums": ("ALTER TABLE sources DROP COLUMN sums",),
    "0010_metadata_values": ("DROP TABLE metadata_values",),
    "0011_external_ids": (
        "DROP INDEX sources_by_external_id",
        "DROP INDEX sources_expiring",
        "ALTER TABLE sources DROP COLUMN external_id",
        "ALTER TABLE sources DROP COLUMN expires_at",
    ),
    "0012_links": ("DROP TABLE links",),
    "0014_staged": (
        "DROP TABLE staged",
        "ALTER TABLE meta DROP COLUMN staged_for",
        "ALTER TABLE meta DROP COLUMN latents",
    ),
    "0015_checks": (
        "DROP TABLE quarantine",
        *(
            f"ALTER TABLE {table} DROP COLUMN {column}"
            for table, column in (
                *(("meta", "sum"), ("forgotten", "sum"), ("replaced", "sum"), ("staged", "sum")),
                *(("changes", "counters"), ("changes", "sum"), ("sources", "vectors_sum")),
            )
        ),
    ),
    "0016_audit": ("DROP TABLE audit", "ALTER TABLE meta DROP COLUMN audited"),
    "0017_times": ("DROP INDEX sources_by_time",),
    "0018_totals": ("DROP TABLE totals",),
}


def make_older(database: Path, step: str) -> None:
    """Make a store one that has not run a step, nor any after it."""
    names = [one.name for one in STEPS]
    with closing(sqlite3.connect(database)) as connection, connection:
        for name in reversed(names[names.index(step) :]):
            for statement in UNDO[name]:
                connection.execute(statement)
        connection.execute("DELETE FROM migrations WHERE name >= ?", (step,))
