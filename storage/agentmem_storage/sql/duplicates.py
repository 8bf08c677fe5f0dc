"""Which of several new sources a scope already has, and which are occurrences of their own.

Equal content means an equal ``content_hash`` and equal metadata. What else counts depends on the
source's `Identity`:

- ``hash``: nothing, not even metadata. The hash says which source it is: it includes an id that the
  caller gave.
- ``content``: nothing. A document is the same whenever it is added.
- ``time``: the hash includes a time that the caller gave. Of equal sources in one call, the second
  is the second in the store, and so on.
- ``sequence``: its place among the sources around it, because nothing says when it was said. The
  sources of a call are compared, in order, with those of the scope in the order they were said. A
  run of consecutive equal ones is a replay, and already known, if

  - it has at least `MIN_RUN` sources; or
  - it starts the call, or follows another replay, and ends with the newest source of the scope,
    which was added less than `RECENT` ago; or it covers the complete scope and starts a call of
    several sources; or
  - it is the complete call and was added less than `RECENT` ago. Not in a conversation: "No." and
    "Try again" may be said after two questions.

  A call of at least `MIN_RUN` sources is a retry, too, if all of them were added less than `RECENT`
  ago, not in a row because some were known already then, and nothing was added since. Everything
  else was said again.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select

from agentmem_storage.records import SourceKey
from agentmem_storage.sql.selection import id_list
from agentmem_storage.sql.tables import sources

MIN_RUN: Final = 3
RECENT: Final = timedelta(hours=12)

_RECENT_MICROS: Final = RECENT // timedelta(microseconds=1)
# Of very many equal sources, how many of the oldest and of the newest may begin a run.
_MAX_STARTS: Final = 64
# Hashes are bound one by one, and SQLite limits the number of bound values in a statement.
_HASH_BATCH: Final = 500

# What sources have in common that are told apart only by when they were said.
_Symbol = tuple[bytes, str | None]


@dataclass(frozen=True, slots=True)
class Known:
    """What a scope has of some new sources.

    Attributes:
        ids: The id of the stored source for each new one; None if it is new.
        occurrences: By content hash, one above the highest occurrence that is taken.
    """

    ids: list[int | None]
    occurrences: Counter[bytes]


def find(
    connection: Connection,
    keys: Sequence[SourceKey],
    scope_id: int,
    *,
    conversation: bool,
    now: int,
) -> Known:
    """Look for new sources in a scope, by the rules above.

    Args:
        connection: A transaction; one with the write lock if the answer is to remain true.
        keys: The new sources, in order.
        scope_id: The scope.
        conversation: Whether the scope is one conversation.
        now: The current time, in microseconds since 1970.
    """
    rows = _equal_rows(connection, {key.content_hash for key in keys}, scope_id)
    taken: Counter[bytes] = Counter()
    stored: dict[_Symbol, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        taken[row.content_hash] = max(taken[row.content_hash], row.occurrence + 1)
        stored[row.content_hash, None].append(row)
        with suppress(ValueError):  # damaged metadata equal nothing
            stored[row.content_hash, _canonical(json.loads(row.metadata or b"{}"))].append(row)
    symbols = [symbol(key) for key in keys]
    ids: list[int | None] = [None] * len(keys)
    seen: Counter[_Symbol] = Counter()
    for place, (key, one) in enumerate(zip(keys, symbols, strict=True)):
        if key.identity != "sequence" and one in stored:
            number = seen[one] if key.identity == "time" else 0
            if number < len(stored[one]):
                ids[place] = stored[one][number].id
        seen[one] += 1
    if rows and any(key.identity == "sequence" for key in keys):
        replay = _Replay(connection, scope_id, symbols, stored, conversation, now)
        for place, id in replay.matches().items():
            if keys[place].identity == "sequence":
                ids[place] = id
    return Known(ids, taken)


def symbol(key: SourceKey) -> _Symbol:
    """What is equal for equal sources, except for when they were said."""
    return key.content_hash, None if key.identity == "hash" else _canonical(key.metadata)


def _canonical(metadata: Mapping[str, Any]) -> str:
    return json.dumps(metadata, sort_keys=True)


def _equal_rows(connection: Connection, hashes: set[bytes], scope_id: int) -> list[Row[Any]]:
    """Stored sources with one of the hashes, in the order they were said."""
    columns = sources.c
    query = select(
        columns.id,
        columns.content_hash,
        columns.created_at,
        columns.added_at,
        columns.occurrence,
        columns.metadata,
    )
    found: list[Row[Any]] = []
    ordered = sorted(hashes)
    for first in range(0, len(ordered), _HASH_BATCH):
        batch = ordered[first : first + _HASH_BATCH]
        found += connection.execute(
            query.where(columns.scope_id == scope_id, columns.content_hash.in_(batch))
        )
    return sorted(found, key=lambda row: (row.created_at, row.id))


class _Replay:
    """Finds the runs of new sources that a scope has already."""

    def __init__(
        self,
        connection: Connection,
        scope_id: int,
        symbols: Sequence[_Symbol],
        stored: Mapping[_Symbol, Sequence[Row[Any]]],
        conversation: bool,
        now: int,
    ) -> None:
        self._symbols, self._stored = symbols, stored
        self._conversation, self._now = conversation, now
        rows = {row.id: row for one in set(symbols) for row in stored.get(one, ())}
        previous = _previous(connection, scope_id, rows)
        self._first = {id for id in rows if previous.get(id) is None}
        self._next = {before: rows[id] for id, before in previous.items() if before is not None}
        self._newest = connection.scalar(
            select(sources.c.id)
            .where(sources.c.scope_id == scope_id)
            .order_by(sources.c.created_at.desc(), sources.c.id.desc())
            .limit(1)
        )
        self._used: set[int] = set()
        self._ids = {one: {row.id for row in stored.get(one, ())} for one in set(symbols)}

    def matches(self) -> dict[int, int]:
        """The id of the stored source for each new one that repeats it, by place in the call."""
        found: dict[int, int] = {}
        place = 0
        while place < len(self._symbols):
            rows = self._stored.get(self._symbols[place], ())
            starts = rows if len(rows) <= 2 * _MAX_STARTS else _ends(rows)
            best: list[Row[Any]] = []
            for row in starts:
                run = self._run(place, row)
                # Of equally long ones, the newest.
                follows = place == 0 or place - 1 in found
                if run and len(run) >= len(best) and self._known(place, run, follows=follows):
                    best = run
            for offset, row in enumerate(best):
                found[place + offset] = row.id
                self._used.add(row.id)
            place += max(1, len(best))
        return found if len(self._symbols) < MIN_RUN else self._retry(found)

    def _retry(self, found: dict[int, int]) -> dict[int, int]:
        """All sources of the call, if each was added recently and the last of them is the newest.

        Otherwise, what is given.
        """
        left = {
            one: [row for row in self._stored.get(one, ()) if row.id not in self._used]
            for one in set(self._symbols)
        }
        all_found, last = dict(found), None
        for place, one in enumerate(self._symbols):
            if place in found:
                continue
            if not left[one] or not self._recent(left[one][-1:]):
                return found
            last = all_found[place] = left[one].pop().id
        return all_found if last == self._newest else found

    def _recent(self, rows: Sequence[Row[Any]]) -> bool:
        newest: int = max(row.added_at for row in rows)
        return self._now - newest < _RECENT_MICROS

    def _run(self, place: int, row: Row[Any]) -> list[Row[Any]]:
        """The longest run that starts with a new and a stored source; none is in two runs."""
        run: list[Row[Any]] = []
        after: Row[Any] | None = row
        for one in self._symbols[place:]:
            if after is None or after.id in self._used or after.id not in self._ids[one]:
                break
            run.append(after)
            after = self._next.get(after.id)
        return run

    def _known(self, place: int, run: Sequence[Row[Any]], *, follows: bool) -> bool:
        """Whether a run is a replay, by the rules above."""
        if len(run) >= MIN_RUN:
            return True
        recent, several = self._recent(run), len(self._symbols) > 1
        if follows and run[-1].id == self._newest:
            return recent or (place == 0 and several and run[0].id in self._first)
        complete = len(run) == len(self._symbols)
        return complete and recent and not self._conversation


def _ends(rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    return [*rows[:_MAX_STARTS], *rows[-_MAX_STARTS:]]


def _previous(connection: Connection, scope_id: int, ids: Iterable[int]) -> dict[int, int | None]:
    """By id, the source of the scope that was said just before."""
    earlier = sources.alias("earlier")
    in_scope = select(earlier.c.id).where(earlier.c.scope_id == scope_id)
    # One condition for both could not use the index, and long imports have one time.
    same_time = in_scope.where(
        earlier.c.created_at == sources.c.created_at, earlier.c.id < sources.c.id
    )
    other_time = in_scope.where(earlier.c.created_at < sources.c.created_at)
    before = func.coalesce(
        *(
            one.order_by(earlier.c.created_at.desc(), earlier.c.id.desc())
            .limit(1)
            .correlate(sources)
            .scalar_subquery()
            for one in (same_time, other_time)
        )
    )
    pairs = select(func.json_group_array(func.json_array(sources.c.id, before)))
    listed = connection.scalar(pairs.where(sources.c.id.in_(id_list(ids))))
    return dict(json.loads(listed or "[]"))
