"""Which of several new sources a scope already has, and which are occurrences of their own.

Equal content means an equal ``content_hash`` and equal metadata, or that of the source before it
was updated or forgotten, see `agentmem_storage.sql.logs.former`; of such a source the metadata do
not count, for those that it was added with are not known any more. What else counts depends on the
source's `Identity`:

- ``hash``: nothing, not even metadata. The hash says which source it is: it includes an id that the
  caller gave.
- ``content``: nothing. A document or a system message is the same whenever it is added.
- ``time``: the hash includes a time that the caller gave. Of equal sources in one call, the second
  is the second in the store, and so on.
- ``id``: an id that the caller gave to it; with another content it takes the place of the former,
  see `agentmem_storage.sql.writing.external`. Such sources equal no others.
- ``sequence``: its place among the sources around it, because nothing says when it was said; see
  `agentmem_storage.sql.writing.replays`.

A source that was forgotten is not stored again by a call that brings others, too: the call is taken
for a transcript that still has it. A call in which everything was updated or forgotten since is
stored: it can only be meant. What has expired counts as forgotten; of documents, as never stored.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import Column, Connection, Row, bindparam

from agentmem_storage.records import SourceKey, Written
from agentmem_storage.sql.logs.former import Fingerprints, any_former
from agentmem_storage.sql.reading.sources import written_sources
from agentmem_storage.sql.schema.tables import forgotten, sources
from agentmem_storage.sql.where.tolerant import intact
from agentmem_storage.sql.writing import external
from agentmem_storage.sql.writing.places import Place
from agentmem_storage.sql.writing.replays import PLACES, Replays

# Hashes are bound one by one, and SQLite limits the number of bound values in a statement.
_HASH_BATCH: Final = 500
_WITH: Final = {
    column: PLACES[column.table].where(column.in_(bindparam("values", expanding=True)))
    for column in (sources.c.content_hash, sources.c.former, forgotten.c.former)
}

# What sources have in common that are told apart only by when they were said.
_Symbol = tuple[bytes, str | None]


@dataclass(frozen=True, slots=True)
class Known:
    """What a scope has of some new sources.

    Attributes:
        ids: The id of the stored source for each new one; None if it is new.
        forgotten: Those ids that are of forgotten sources.
        occurrences: By content hash, one above the highest occurrence that is taken.
        replaced: Those ids that are of sources whose content another one takes the place of.
        prolonged: By id, when sources are to expire that would expire earlier; None for never.
    """

    ids: list[int | None]
    forgotten: frozenset[int]
    occurrences: Counter[bytes]
    replaced: frozenset[int] = frozenset()
    prolonged: Mapping[int, int | None] = field(default_factory=dict)

    def written(self, connection: Connection) -> dict[int, Written]:
        """The known sources by id; those that were forgotten have no chunks."""
        present = [id for id in self.ids if id is not None and id not in self.forgotten]
        gone = {id: Written(id, (), duplicate=True) for id in self.forgotten}
        found = written_sources(connection, present)
        for id in self.replaced:
            found[id] = replace(found[id], duplicate=False, replaced=True)
        for id in self.prolonged:
            found[id] = replace(found[id], prolonged=True)
        return found | gone


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
    named = [key.external_id for key in keys if key.external_id is not None]
    if not named:
        return _find(
            connection, keys, scope_id, conversation=conversation, alone=alone, now=now, more=()
        )
    others = [at for at, key in enumerate(keys) if key.external_id is None]
    known = _find(
        connection,
        [keys[at] for at in others],
        scope_id,
        conversation=conversation,
        alone=alone,
        now=now,
        more=[key.content_hash for key in keys],
    )
    held = external.held(connection, scope_id, named, now)
    ids: list[int | None] = [None] * len(keys)
    for at, id in zip(others, known.ids, strict=True):
        ids[at] = id
    changed: set[int] = set()
    for at, key in enumerate(keys):
        if key.external_id is not None and (one := held.get(key.external_id)) is not None:
            ids[at] = one.id
            if not one.equals(key):
                changed.add(one.id)
    return replace(known, ids=ids, replaced=frozenset(changed))


def _find(
    connection: Connection,
    keys: Sequence[SourceKey],
    scope_id: int,
    *,
    conversation: bool,
    alone: bool,
    now: int,
    more: Iterable[bytes],
) -> Known:
    """As `find`, of sources without external ids; ``more`` are hashes whose occurrences count."""
    former: dict[bytes, bytes] = {}
    hashes = {key.content_hash for key in keys}.union(more)
    if any_former(connection, scope_id):
        prints = Fingerprints(connection)
        former = {prints.of(one): one for one in hashes}
    rows = _rows(connection, scope_id, hashes, former, now)
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
            # Current content first.
            held = sorted(stored[one], key=lambda place: one in place.former)
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
    return _known(ids, keys, symbols, places)


def symbol(key: SourceKey) -> _Symbol:
    """What is equal for equal sources, except for when they were said."""
    return key.content_hash, None if key.identity == "hash" else _canonical(key.metadata)


def _known(
    ids: list[int | None],
    keys: Sequence[SourceKey],
    symbols: Sequence[_Symbol],
    places: Sequence[Place],
) -> Known:
    by_id = {place.id: place for place in places}
    found = [None if id is None else by_id[id] for id in ids]
    if all(place and one in place.former for place, one in zip(found, symbols, strict=True)):
        ids, found = [None] * len(ids), []
    gone = frozenset(place.id for place in found if place is not None and place.forgotten)
    taken: Counter[bytes] = Counter()
    for place in places:
        if place.content_hash is not None:
            taken[place.content_hash] = max(taken[place.content_hash], place.occurrence + 1)
    return Known(ids, gone, taken, prolonged=_prolonged(keys, found))


def _prolonged(keys: Sequence[SourceKey], found: Sequence[Place | None]) -> dict[int, int | None]:
    """What was added again lives as long as the longest-lived of the two."""
    longest: dict[int, float] = {}
    held: dict[int, int] = {}
    for key, place in zip(keys, found, strict=False):
        if place is not None and place.expires_at is not None and not place.forgotten:
            expires_at = external.as_micros(key)
            wanted = math.inf if expires_at is None else expires_at
            longest[place.id] = max(longest.get(place.id, wanted), wanted)
            held[place.id] = place.expires_at
    return {
        id: None if wanted == math.inf else int(wanted)
        for id, wanted in longest.items()
        if wanted > held[id]
    }


def _canonical(metadata: Mapping[str, Any]) -> str:
    return json.dumps(metadata, sort_keys=True) if metadata else "{}"


def _place(row: Row[Any], wanted: set[_Symbol], former: Mapping[bytes, bytes]) -> Place:
    """A stored or forgotten source, with those of the wanted symbols that it equals."""
    if row.forgotten and row.kind == "document":
        wanted = set()
    current: set[_Symbol] = set()
    if row.content_hash is not None:
        current.add((row.content_hash, None))
        with suppress(ValueError):  # damaged metadata equal nothing
            metadata = _canonical(json.loads(row.metadata)) if row.metadata else "{}"
            current.add((row.content_hash, metadata))
    then = former.get(row.former) if row.former is not None else None
    # An updated source may have been given other metadata, so that only its text is compared.
    loose = {then, row.content_hash} - {None} if row.former is not None else set()
    before = {one for one in wanted if one[0] in loose}
    return Place(
        row.id,
        row.created_at,
        row.added_at,
        row.content_hash,
        row.occurrence,
        symbols=frozenset(current & wanted | before),
        former=frozenset((current & wanted | before) if row.forgotten else before - current),
        forgotten=bool(row.forgotten),
        expires_at=row.expires_at,
    )


def _rows(
    connection: Connection,
    scope_id: int,
    hashes: set[bytes],
    former: Mapping[bytes, bytes],
    now: int,
) -> list[Row[Any]]:
    """Sources with one of the contents, now or formerly, in the order they were said."""
    found: dict[int, Row[Any]] = {}

    def read(column: Column[Any], values: Sequence[bytes]) -> None:
        for first in range(0, len(values), _HASH_BATCH):
            batch = values[first : first + _HASH_BATCH]
            parameters = {"scope_id": scope_id, "now": now, "values": batch}
            for row in intact(connection.execute(_WITH[column], parameters)):
                found[row.id] = row

    read(sources.c.content_hash, sorted(hashes))
    read(sources.c.former, sorted(former))
    read(forgotten.c.former, sorted(former))
    return sorted(found.values(), key=lambda row: (row.created_at, row.id))
