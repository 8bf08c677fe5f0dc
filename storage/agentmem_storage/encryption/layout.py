"""What the file of an encrypted store consists of.

In the clear are the names of tables, ids, which rows share a key, and in which order they were
written; of contents, only their lengths. Each commit has the next number, so that another process
reads just the rows that it has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

# "AgMe"
APPLICATION_ID: Final = 0x41674D65
FORMAT: Final = 1

# A row, by its table and its id there.
Place = tuple[str, int]
# What a key is for: the store, a scope, or a row that is in no scope any more.
Owner = tuple[str, int]
# What seals rows that are of no scope; its key is never destroyed.
STORE: Final[Owner] = ("store", 0)

TABLES: Final = (
    f"PRAGMA application_id = {APPLICATION_ID}",
    """
    CREATE TABLE state (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        format INTEGER NOT NULL,
        ring_id BLOB NOT NULL,
        steps INTEGER NOT NULL,
        version INTEGER NOT NULL,
        listed_from INTEGER NOT NULL,
        sealed BLOB NOT NULL
    )
    """,
    # Sealed too, for what a key is taken for decides what is destroyed with it.
    """
    CREATE TABLE owners (
        kind TEXT NOT NULL,
        id INTEGER NOT NULL,
        key_id INTEGER NOT NULL,
        sealed BLOB NOT NULL,
        PRIMARY KEY (kind, id)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE rows (
        kind TEXT NOT NULL,
        id INTEGER NOT NULL,
        key_id INTEGER NOT NULL,
        version INTEGER NOT NULL,
        content BLOB NOT NULL,
        PRIMARY KEY (kind, id)
    )
    """,
    "CREATE INDEX rows_by_version ON rows (version)",
    "CREATE INDEX rows_by_key ON rows (key_id)",
    "CREATE TABLE removed (kind TEXT NOT NULL, id INTEGER NOT NULL, version INTEGER NOT NULL)",
    "CREATE INDEX removed_by_version ON removed (version)",
    # Keys of which no row is left, to be destroyed.
    "CREATE TABLE doomed (key_id INTEGER PRIMARY KEY, sealed BLOB NOT NULL)",
)


@dataclass(frozen=True, slots=True)
class State:
    """What the file says of itself.

    Attributes:
        steps: How many steps of the schema its rows have.
        version: The number of its last commit.
        listed_from: Since which commit all removals are listed.
        total: The sum of an `agentmem_storage.encryption.sealing.Census` over its rows.
    """

    steps: int = 0
    version: int = 0
    listed_from: int = 0
    total: int = 0


class Row(NamedTuple):
    """A row as it is in memory."""

    kind: str
    id: int
    values: list[Any]


@dataclass(slots=True)
class Unread:
    """Rows of the file that are not in memory.

    Attributes:
        damaged: They are not what was sealed in their place.
        shredded: Their keys have been destroyed.
        altered: Whether rows were left out, or older ones brought back.
    """

    damaged: set[Place] = field(default_factory=set)
    shredded: set[Place] = field(default_factory=set)
    altered: bool = False
