"""Checksums over what a user reads of a source beside its text.

Latents, patch and embedding have checksums of their own, and a text is compared with its hash. The
rest of a memory is a few short fields: who said it, in which scope, when, with which metadata, and
which chunks it has. Their checksums stand in the row of the source, one CRC-32 for each group of
fields that change together, so that writing one group says nothing about the others: a damaged
group keeps the checksum that it does not match.

They detect damage, and not a forger, who can compute checksums too.
"""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final
from zlib import crc32

from sqlalchemy import Connection

# The fields of each group, by what they are called in reports. A source's chunks follow them.
_GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "its speaker, origin or scope": (
        *("id", "user_id", "agent_id", "session_id"),
        *("kind", "role", "name", "uri", "added_at"),
    ),
    "its title": ("title",),
    "its time": ("created_at",),
    "its metadata": ("metadata",),
    "its length or content hash": ("chars", "content_hash", "occurrence", "former"),
}
_OF_ITS_CHUNKS: Final = "the place, length or hash of one of its chunks"
# Groups of later versions: a source that was written before has NULL in their fields.
_LATER: Final[dict[str, tuple[str, ...]]] = {
    "its external id or when it expires": ("external_id", "expires_at"),
}
NAMES: Final = (*_GROUPS, _OF_ITS_CHUNKS, *_LATER)
METADATA: Final = NAMES.index("its metadata")
CHUNKS: Final = len(_GROUPS)
EXPIRY: Final = NAMES.index("its external id or when it expires")
CHUNK_FIELDS: Final = (
    *("id", "ordinal", "start", "end", "tokens", "fidelity", "text_hash", "episode"),
)
_SUMS = struct.Struct(f"<{len(NAMES)}I")
_EARLIER_SUMS = struct.Struct(f"<{len(NAMES) - len(_LATER)}I")
_BATCH = 500

# Read as they are: neither the types of damaged values nor their encoding may be an obstacle.
_FIELDS = tuple(name for group in _GROUPS.values() for name in group)
_LATER_FIELDS = tuple(name for group in _LATER.values() for name in group)
_OF_SCOPE = ("user_id", "agent_id", "session_id")


def _select(fields: Sequence[str]) -> str:
    return (
        "SELECT sources.id, "
        + ", ".join(f"{'scopes' if one in _OF_SCOPE else 'sources'}.{one}" for one in fields[1:])
        + ", sources.sums FROM sources LEFT JOIN scopes ON scopes.id = sources.scope_id "
        "WHERE sources.id IN (SELECT value FROM json_each(?)) ORDER BY sources.id"
    )


_WRITE = "UPDATE sources SET sums = ? WHERE id = ?"
_OF_CHUNKS = (
    "SELECT source_id, "
    + ", ".join(f'"{one}"' for one in CHUNK_FIELDS)
    + " FROM chunks WHERE source_id IN (SELECT value FROM json_each(?)) ORDER BY source_id, ordinal"
)


def of_source(source: Mapping[str, Any], chunks: Iterable[Sequence[Any]]) -> bytes:
    """The checksums of a source.

    Args:
        source: Its columns, and those of its scope.
        chunks: The fields `CHUNK_FIELDS` of each of its chunks, in order.
    """
    parts: list[Any] = [[source[name] for name in group] for group in _GROUPS.values()]
    parts.append([list(one) for one in chunks])
    parts += [[source.get(name) for name in group] for group in _LATER.values()]
    return _SUMS.pack(*map(_sum, parts))


def damaged(connection: Connection, source_ids: Sequence[int]) -> dict[int, frozenset[int]]:
    """The groups that do not match their checksums, by the id of the source; only where there are.

    A group is its number in `NAMES`. Where the checksums themselves are damaged, it is all of them.
    """
    found = {}
    for id, held, now in _read(connection, source_ids):
        pairs = zip(_unpacked(held), _SUMS.unpack(now), strict=True)
        if wrong := frozenset(group for group, (a, b) in enumerate(pairs) if a != b):
            found[id] = wrong
    return found


def write(
    connection: Connection,
    source_ids: Sequence[int],
    *,
    damaged: Mapping[int, Collection[int]],
    replaced: Collection[str] = (),
) -> None:
    """Write the checksums of sources after a change.

    Args:
        connection: A write transaction.
        source_ids: The sources.
        damaged: What `damaged` returned before the change: these groups stay damaged.
        replaced: Columns that have been written without regard to what they were. A group of
            nothing else is no longer damaged.
    """
    groups = [*_GROUPS.values(), (), *_LATER.values()]
    healed = {number for number, one in enumerate(groups) if one and set(one) <= set(replaced)}
    rows = []
    for id, held, now in _read(connection, source_ids):
        left = set(damaged.get(id, ())) - healed
        rows.append((_keeping(held, now, left) if left else now, id))
    if rows:
        connection.exec_driver_sql(_WRITE, rows)


def write_all(connection: Connection) -> None:
    """Write the first checksums of all sources, of rows as they are before later steps."""
    ids = [row[0] for row in connection.exec_driver_sql("SELECT id FROM sources ORDER BY id")]
    rows = [(now, id) for id, _, now in _read(connection, ids, _FIELDS)]
    if rows:
        connection.exec_driver_sql(_WRITE, rows)


def _keeping(held: object, now: bytes, groups: Collection[int]) -> bytes:
    """New checksums, but those of some groups such that they do not match."""
    fresh = list(_SUMS.unpack(now))
    old = _unpacked(held)
    for group in groups:
        kept = old[group]
        fresh[group] = fresh[group] ^ 1 if kept is None or kept == fresh[group] else kept
    return _SUMS.pack(*fresh)


def _unpacked(held: object) -> Sequence[int | None]:
    """The checksums in a row; None for each if they are damaged themselves."""
    if isinstance(held, bytes) and len(held) == _SUMS.size:
        return _SUMS.unpack(held)
    if isinstance(held, bytes) and len(held) == _EARLIER_SUMS.size:
        return (*_EARLIER_SUMS.unpack(held), *_UNSAID)
    return [None] * len(NAMES)


def _read(
    connection: Connection, source_ids: Sequence[int], fields: Sequence[str] = ()
) -> Iterable[tuple[int, object, bytes]]:
    """Each source's id, the checksums in its row, and those that it should have.

    Args:
        connection: A transaction.
        source_ids: The sources.
        fields: The columns there are; by default all.
    """
    fields = fields or (*_FIELDS, *_LATER_FIELDS)
    query = _select(fields)
    for first in range(0, len(source_ids), _BATCH):
        listed = (json.dumps(list(source_ids[first : first + _BATCH])),)
        of: dict[Any, list[tuple[Any, ...]]] = defaultdict(list)
        for owner, *chunk in connection.exec_driver_sql(_OF_CHUNKS, listed).all():
            of[owner].append(tuple(chunk))
        for *values, held in connection.exec_driver_sql(query, listed).all():
            source = dict(zip(fields, values, strict=True))
            yield source["id"], held, of_source(source, of[source["id"]])


def _sum(part: object) -> int:
    return crc32(json.dumps(part, default=_plain).encode())


def _plain(value: object) -> dict[str, str]:
    """Bytes in JSON, told from text."""
    assert isinstance(value, bytes)
    return {"bytes": value.hex()}


# Of fields that are NULL.
_UNSAID = tuple(_sum([None] * len(group)) for group in _LATER.values())
