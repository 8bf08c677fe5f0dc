"""One checksum per source over the checksums in its chunks' blobs.

Latents, patch and embedding carry checksums of their own, which say that they are whole, and not
that they are those of this chunk. This one, in the row of the source, binds them to it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from zlib import crc32

from sqlalchemy import Connection

_BATCH = 500
# Where the checksums stand is part of the format, see `agentmem_storage.sql.schema.codec`.
_OF_CHUNKS = (
    'SELECT source_id, id, hex(substr("key", 7, 4)), hex(substr(patch, 1, 4)), '
    # Numbers in every database, for they are summed.
    "CASE WHEN patch IS NULL THEN 1 ELSE 0 END, hex(substr(latents, 3, 4)), "
    "CASE WHEN text IS NULL THEN 1 ELSE 0 END FROM chunks "
    "WHERE source_id IN (SELECT value FROM json_each(?)) ORDER BY source_id, id"
)
_HELD = (
    "SELECT id, vectors_sum FROM sources WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
)


def damaged(connection: Connection, source_ids: Sequence[int]) -> set[int]:
    """Those of the given sources whose chunks do not have the vectors that they were given."""
    return {id for id, held, now in _read(connection, source_ids) if held != now}


def write(
    connection: Connection, source_ids: Sequence[int], *, damaged: Collection[int] = ()
) -> None:
    """Write the checksums of sources after a change; those that were damaged before stay so."""
    rows = [
        ((now ^ 1 if held in (None, now) else held) if id in damaged else now, id)
        for id, held, now in _read(connection, source_ids)
    ]
    if rows:
        connection.exec_driver_sql("UPDATE sources SET vectors_sum = ? WHERE id = ?", rows)


def write_all(connection: Connection) -> None:
    """Write the checksums of all sources, as they are."""
    ids = [row[0] for row in connection.exec_driver_sql("SELECT id FROM sources ORDER BY id")]
    write(connection, ids)


def of_chunks(chunks: Sequence[Mapping[str, Any]]) -> int:
    """The checksum of a source, from the rows of its chunks before they are inserted."""
    return _of(
        (
            row["id"],
            _hex(row["key"], 6),
            _hex(row["patch"], 0),
            int(row["patch"] is None),
            _hex(row["latents"], 2),
            int(row["text"] is None),
        )
        for row in sorted(chunks, key=lambda row: row["id"])
    )


def _hex(blob: bytes | None, at: int) -> str:
    return "" if blob is None else blob[at : at + 4].hex().upper()


def _of(rows: Any) -> int:
    return crc32(json.dumps([list(row) for row in rows]).encode())


def _read(connection: Connection, source_ids: Sequence[int]) -> list[tuple[int, Any, int]]:
    """Each source's id, the checksum in its row, and the one that it should have."""
    found = []
    for first in range(0, len(source_ids), _BATCH):
        listed = (json.dumps(list(source_ids[first : first + _BATCH])),)
        of: dict[Any, list[Any]] = defaultdict(list)
        for owner, *chunk in connection.exec_driver_sql(_OF_CHUNKS, listed):
            of[owner].append(chunk)
        rows = connection.exec_driver_sql(_HELD, listed)
        found += [(id, held, _of(of[id])) for id, held in rows]
    return found
