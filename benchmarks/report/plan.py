"""A plan for a billion memories, from what one memory and one call cost, as tables.

What is measured comes from result files; what is assumed stands in a table of its own. Nothing of
that size was run.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, Final

from benchmarks.report.markdown import table

# Its name in a marker; no result file may have it.
PLAN = "plan"
# Result files that it draws on.
PLAN_NEEDED = ("scale", "speed")

MEMORIES: Final = 10**9
USERS: Final = 10**6
# Of each, on an average day; and how many times as many at the busiest time of it.
CALLS_A_DAY, PEAK = 10, 5
# A machine, what of it is used, and how many stand by for each that works.
CORES, GIGABYTES, MACHINE_PRICE = 8, 64, 290
BUSY, FILLED, SPARE = 0.5, 0.75, 0.1
# A month, of a terabyte; and how many times what is stored there is room for, or are copies.
DISK_PRICE, DISK_ROOM = 80, 2
BACKUP_PRICE, BACKUPS = 23, 3
# One server of the database and one that stands by.
SERVER_PRICE, SERVERS = 1_160, 2
# Of what a row takes in SQLite; of what the bare vectors take.
ROWS_IN_POSTGRES, GRAPH = 2.0, 1.3
_HEADER_BYTES: Final = 8  # of an embedding in the cache: its id
_DAY_S: Final = 86_400
_TERA: Final = 1e12


def plan_tables(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is assumed, what shards by user need, and what one store for all needs.

    Args:
        results: The ``results`` of each file in `PLAN_NEEDED`, by name.

    Raises:
        KeyError: A result has another shape.
        ValueError: No store was measured.
    """
    scale, speed = (results[name] for name in PLAN_NEEDED)
    largest = max(scale["store"], key=lambda row: int(row["memories"]))
    calls = USERS * CALLS_A_DAY * PEAK / _DAY_S
    recall_s = largest["recall_ms"]["user"]["p95"] / 1e3
    adds = float(speed["adds_per_second"])
    cores = calls * recall_s + calls / adds
    return [
        *_assumed(),
        "",
        *_calls(calls, recall_s, adds, cores),
        "",
        *_in_shards(largest, cores),
        "",
        # Of the largest number that the exact index was measured at, too.
        *_in_one(largest, [row for row in scale["index"] if row["exact"]][-1], cores),
    ]


def _assumed() -> list[str]:
    return table(
        ("Assumed, not measured", ""),
        [
            ("Users, and memories of each", f"{USERS:,} × {MEMORIES // USERS:,}"),
            (
                "Recalls of a user on a day, and as many messages added; at the peak",
                f"{CALLS_A_DAY}; × {PEAK}",
            ),
            (
                f"A machine of {CORES} cores and {GIGABYTES} GB, a month",
                f"${MACHINE_PRICE:,}",
            ),
            (
                "Of its cores used at the peak; of its memory; machines that stand by",
                f"{BUSY * 100:.0f} %; {FILLED * 100:.0f} %; {SPARE * 100:.0f} %",
            ),
            ("Disk, a TB and month; room for", f"${DISK_PRICE}; × {DISK_ROOM}"),
            ("Backups, a TB and month; copies", f"${BACKUP_PRICE}; {BACKUPS}"),
            ("A server of PostgreSQL of 32 cores and 256 GB, a month", f"${SERVER_PRICE:,}"),
            ("Rows in PostgreSQL, of their size in SQLite", f"× {ROWS_IN_POSTGRES:g}"),
            ("Index in Milvus, of the vectors in float32", f"× {GRAPH:g}"),
        ],
    )


def _calls(calls: float, recall_s: float, adds: float, cores: float) -> list[str]:
    return table(
        ("Calls at the peak", "A second", "One takes", "Cores"),
        [
            (
                "`recall` of a user",
                f"{calls:,.0f}",
                f"{recall_s * 1e3:.0f} ms (p95)",
                f"{calls * recall_s:,.0f}",
            ),
            ("`add`", f"{calls:,.0f}", f"{1e3 / adds:.0f} ms", f"{calls / adds:,.0f}"),
            ("all, and cores to have", "", "", f"{cores:,.0f}, {cores / BUSY:,.0f}"),
        ],
    )


def _in_shards(largest: Mapping[str, Any], cores: float) -> list[str]:
    held = int(largest["memories"])
    shards = ceil(MEMORIES / held)
    database, index = (largest["bytes_per_memory"][name] for name in ("database", "index"))
    resident = largest["resident_mb"]["store"] * 1e6 / held
    stored = MEMORIES * database / _TERA
    disk = MEMORIES * (database + index) / _TERA
    working = max(
        ceil(MEMORIES * resident / (GIGABYTES * 1e9 * FILLED)), ceil(cores / BUSY / CORES)
    )
    machines = ceil(working * (1 + SPARE))
    prices = (
        machines * MACHINE_PRICE,
        disk * DISK_ROOM * DISK_PRICE,
        stored * BACKUPS * BACKUP_PRICE,
    )
    return table(
        ("Shards by user", "A memory", f"{MEMORIES:,} memories", "A month"),
        [
            ("Stores, each with the users that a hash gives it", "", f"{shards:,}", ""),
            ("Database", f"{database:,.0f} bytes", f"{stored:.2f} TB", ""),
            ("Cache of the index", f"{index:,.0f} bytes", f"{disk - stored:.2f} TB", ""),
            (
                "Resident, all stores open",
                f"{resident:,.0f} bytes",
                f"{MEMORIES * resident / _TERA:.2f} TB",
                "",
            ),
            ("Machines", "", f"{machines:,}", f"${prices[0]:,.0f}"),
            ("Disks", "", f"{disk * DISK_ROOM:.1f} TB", f"${prices[1]:,.0f}"),
            ("Backups", "", f"{stored * BACKUPS:.1f} TB", f"${prices[2]:,.0f}"),
            ("All", "", "", f"${sum(prices):,.0f}"),
        ],
    )


def _in_one(largest: Mapping[str, Any], index: Mapping[str, Any], cores: float) -> list[str]:
    dims = round(index["exact"]["file_bytes"] / index["embeddings"]) - _HEADER_BYTES
    vectors = MEMORIES * dims * 4 * GRAPH / _TERA
    rows = MEMORIES * largest["bytes_per_memory"]["database"] * ROWS_IN_POSTGRES / _TERA
    milvus = ceil(ceil(vectors * _TERA / (GIGABYTES * 1e9 * FILLED)) * (1 + SPARE))
    clients = ceil(ceil(cores / BUSY / CORES) * (1 + SPARE))
    prices = (
        clients * MACHINE_PRICE,
        milvus * MACHINE_PRICE,
        SERVERS * SERVER_PRICE,
        (rows * SERVERS + vectors) * DISK_ROOM * DISK_PRICE,
        rows * BACKUPS * BACKUP_PRICE,
    )
    return table(
        ("One store for all", "A memory", f"{MEMORIES:,} memories", "A month"),
        [
            ("Machines that embed and rank", "", f"{clients:,}", f"${prices[0]:,.0f}"),
            (
                f"Machines of Milvus, {dims} dims in memory",
                f"{dims * 4 * GRAPH:,.0f} bytes",
                f"{vectors:.2f} TB, {milvus:,}",
                f"${prices[1]:,.0f}",
            ),
            (
                "Servers of PostgreSQL",
                f"{rows * _TERA / MEMORIES:,.0f} bytes",
                f"{rows:.2f} TB, {SERVERS}",
                f"${prices[2]:,.0f}",
            ),
            (
                "Disks",
                "",
                f"{(rows * SERVERS + vectors) * DISK_ROOM:.1f} TB",
                f"${prices[3]:,.0f}",
            ),
            ("Backups", "", f"{rows * BACKUPS:.1f} TB", f"${prices[4]:,.0f}"),
            ("All", "", "", f"${sum(prices):,.0f}"),
        ],
    )
