"""Which of several new sources a scope already has, and which are occurrences of their own.

Equal content means an equal ``content_hash`` and equal metadata, or that of the source before it
was updated or forgotten, see `agentmem_storage.sql.former`. What else counts depends on the
source's `Identity`:

- ``hash``: nothing, not even metadata. The hash says which source it is: it includes an id that the
  caller gave.
- ``content``: nothing. A document or a system message is the same whenever it is added.
- ``time``: the hash includes a time that the caller gave. Of equal sources in one call, the second
  is the second in the store, and so on.
- ``sequence``: its place among the sources around it, because nothing says when it was said; see
  `agentmem_storage.sql.replays`.

A source that was forgotten is not stored again by a call that brings others, too: the call is taken
for a transcript that still has it. A call in which everything was updated or forgotten since is
stored: it can only be meant.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row

from agentmem_storage.records import SourceKey, Written
from agentmem_storage.sql.former import Fingerprints, any_former
from agentmem_storage.sql.places import Place
from agentmem_storage.sql.read import written_sources
from agentmem_storage.sql.replays import Replays
from agentmem_storage.sql.tables import forgotten, sources
from agentmem_storage.sql.tolerant import intact

# Hashes are bound one by one, and SQLite limits the number of bound values in a statement.
_HASH_BATCH: Final = 500

# What sources have in common that are told apart only by when they were said.
_Symbol = tuple[bytes, str | None]


@dataclass(frozen=True, slots=True)
class Known:
    """What a scope has of some new sources.

    Attributes:
        ids: The id of the stored source for each new one; None if it is new.
        forgotten: Those ids that are of forgotten sources.
        occurrences: By content hash, one above the highest occurrence that is taken.
    """

    ids: list[int | None]
    forgotten: frozenset[int]
    occurrences: Counter[bytes]

    def written(self, connection: Connection) -> dict[int, Written]:
        """The known sources by id; those that were forgotten have no chunks."""
        present = [id for id in self.ids if id is not None and id not in self.forgotten]
        gone = {id: Written(id, (), duplicate=True) for id in self.forgotten}
        return written_sources(connection, present) | gone


def find(
    connection: Connection,
    keys: Sequence[SourceKey],
    scope_id: int,
    *,
    conversation: bool,
    alone: bool,
    now: int,
) -> Known:
    """Look for new sources in a scope, by the rules above.

    Args:
        connection: A transaction; one with the write lock if the answer is to remain true.
        keys: The new sources, in order.
        scope_id: The scope.
        conversation: Whether the scope is one conversation.
        alone: Whether the call brings nothing else, to other scopes either, and only one source.
        now: The current time, in microseconds since 1970.
    """
    former: dict[bytes, bytes] = {}
    hashes = {key.content_hash for key in keys}
    if any_former(connection, scope_id):
        prints = Fingerprints(connection)
        former = {prints.of(one): one for one in hashes}
    rows = _rows(connection, scope_id, hashes, former)
    symbols = [symbol(key) for key in keys]
    stored: dict[_Symbol, list[Place]] = defaultdict(list)
    wanted = set(symbols)
    places = [_place(row, wanted, former) for row in rows]
    for place in places:
        for one in place.symbols:
            stored[one].append(place)
    ids: list[int | None] = [None] * len(keys)
    seen: Counter[_Symbol] = Counter()
    for at, (key, one) in enumerate(zip(keys, symbols, strict=True)):
        if key.identity != "sequence" and one in stored:
            held = stored[one]
            if former:  # current content first
                held = sorted(held, key=lambda place: one in place.former)
            number = seen[one] if key.identity == "time" else 0
            ids[at] = held[number].id if number < len(held) else None
        seen[one] += 1
    if places and any(key.identity == "sequence" for key in keys):
        # What is the same wherever it stands says nothing about its neighbors.
        order = [at for at, key in enumerate(keys) if key.identity != "content"]
        replays = Replays(
            connection,
            scope_id,
            [symbols[at] for at in order],
            stored,
            {place.id: place for place in places},
            conversation=conversation,
            alone=alone,
            timed=any(key.identity == "time" for key in keys),
            now=now,
        )
        for number, id in replays.matches().items():
            if keys[order[number]].identity == "sequence":
                ids[order[number]] = id
    return _known(ids, symbols, places)


def symbol(key: SourceKey) -> _Symbol:
    """What is equal for equal sources, except for when they were said."""
    return key.content_hash, None if key.identity == "hash" else _canonical(key.metadata)


def _known(ids: list[int | None], symbols: Sequence[_Symbol], places: Sequence[Place]) -> Known:
    by_id = {place.id: place for place in places}
    found = [None if id is None else by_id[id] for id in ids]
    if all(place and one in place.former for place, one in zip(found, symbols, strict=True)):
        ids, found = [None] * len(ids), []
    gone = frozenset(place.id for place in found if place is not None and place.forgotten)
    taken: Counter[bytes] = Counter()
    for place in places:
        if place.content_hash is not None:
            taken[place.content_hash] = max(taken[place.content_hash], place.occurrence + 1)
    return Known(ids, gone, taken)


def _canonical(metadata: Mapping[str, Any]) -> str:
    return json.dumps(metadata, sort_keys=True) if metadata else "{}"


def _place(row: Row[Any], wanted: set[_Symbol], former: Mapping[bytes, bytes]) -> Place:
    """A stored or forgotten source, with those of the wanted symbols that it equals."""
    current: set[_Symbol] = set()
    if row.content_hash is not None:
        current.add((row.content_hash, None))
        with suppress(ValueError):  # damaged metadata equal nothing
            metadata = _canonical(json.loads(row.metadata)) if row.metadata else "{}"
            current.add((row.content_hash, metadata))
    then = former.get(row.former) if row.former is not None else None
    before = {one for one in wanted if one[0] == then} if then is not None else set()
    return Place(
        row.id,
        row.created_at,
        row.added_at,
        row.content_hash,
        row.occurrence,
        symbols=frozenset(current & wanted | before),
        former=frozenset(before - current),
        forgotten=row.forgotten,
    )


def _rows(
    connection: Connection, scope_id: int, hashes: set[bytes], former: Mapping[bytes, bytes]
) -> list[Row[Any]]:
    """Sources with one of the contents, now or formerly, in the order they were said."""
    found: dict[int, Row[Any]] = {}

    def read(column: ColumnElement[Any], values: Sequence[bytes]) -> None:
        table = column.table
        query = Replays.columns(table).where(table.c.scope_id == scope_id)
        for first in range(0, len(values), _HASH_BATCH):
            batch = values[first : first + _HASH_BATCH]
            for row in intact(connection.execute(query.where(column.in_(batch)))):
                found[row.id] = row

    read(sources.c.content_hash, sorted(hashes))
    read(sources.c.former, sorted(former))
    read(forgotten.c.former, sorted(former))
    return sorted(found.values(), key=lambda row: (row.created_at, row.id))
