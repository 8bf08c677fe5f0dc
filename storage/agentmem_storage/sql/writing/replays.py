"""Aligns the sources of a call with those of a scope, to tell replays from what is said again.

Of sources that nothing else tells apart, their order decides. A call may be

- a transcript that goes on: its beginning is the newest part of the scope. Complete, as a loop
  sends it that adds the whole conversation after every turn, or a window of the last messages;
- a transcript of which something was changed: an early answer that was generated again, or a first
  message with what was recalled for this turn; see `agentmem_storage.sql.writing.edits`. A form
  that is filled in morning and evening resembles one, so it goes on with the newest source, or was
  changed within `EDIT`;
- a retry: all of it was added before, recently, and in a row. In a conversation, `MIN_RUN` or more:
  "No." and "Try again" may be said after two questions. A message that comes alone is a retry only
  if it is the newest. Fewer than `MIN_RUN` are a retry within `RETRY`: "log: 1 coffee", "Noted." is
  said again after an hour, also where nothing else was said before. So are fewer than `MIN_LONG`
  outside a conversation, such as what a sensor reports every half an hour;
- an import that is repeated: `MIN_LONG` or more in a row that stand in a row in the scope and were
  added recently, or `MIN_IMPORT`, whenever. A checklist of ten is answered alike every day; nobody
  says that many again, word for word.

Everything else was said again, such as a question and its answers on another day. An alignment
holds without a doubt if no source of the scope is left out, to its end. Others may have been added
in between, such as notes on the conversation, so up to `MAX_GAP` in a row are skipped if at least
`MIN_RUN` are equal and were added recently: on another day, a conversation may begin as it did, and
go on differently. Updated and forgotten sources keep their places; a transcript may still have
them or not. Those that have expired count as forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Integer,
    Row,
    Select,
    Table,
    bindparam,
    func,
    literal,
    null,
    select,
)

from agentmem_storage.sql.schema.tables import forgotten, sources
from agentmem_storage.sql.where.expiry import has_expired
from agentmem_storage.sql.where.selection import id_list
from agentmem_storage.sql.where.tolerant import intact
from agentmem_storage.sql.writing.edits import edited
from agentmem_storage.sql.writing.places import Place, Symbol

MIN_RUN: Final = 3
MIN_LONG: Final = 8
MIN_IMPORT: Final = 32
MAX_GAP: Final = 8
RECENT: Final = timedelta(hours=12)
RETRY: Final = timedelta(minutes=10)
EDIT: Final = timedelta(hours=1)

_MICROSECOND: Final = timedelta(microseconds=1)
# Of very many equal sources, how many of the oldest and of the newest may begin an alignment.
_MAX_STARTS: Final = 64
# Said once for a whole conversation, wherever they stand.
_STANDING_ROLES: Final = ("system", "developer")


@dataclass(frozen=True, slots=True)
class _Alignment:
    """The places of the first sources of a call; strict if none is left out, to the end."""

    places: list[Place]
    strict: bool
    complete: bool  # from the first source of the scope
    changed: bool  # those behind are in the call, too, but for what is between


def _places(table: Table) -> Select[Any]:
    c, gone = table.c, table is forgotten
    return select(
        c.id,
        c.created_at,
        c.added_at,
        (null() if gone else c.content_hash).label("content_hash"),
        (literal(0) if gone else c.occurrence).label("occurrence"),
        (null() if gone else c.metadata).label("metadata"),
        (null() if gone else c.kind).label("kind"),
        (null() if gone else c.role).label("role"),
        c.former,
        (literal(True) if gone else has_expired(bindparam("now"))).label("forgotten"),
        (null() if gone else c.expires_at).label("expires_at"),
        (null() if gone else c.external_id).label("external_id"),
    ).where(c.scope_id == bindparam("scope_id"))


# What places are made of, in the scope `scope_id` at the time `now`, in microseconds since 1970.
PLACES: Final = {table: _places(table) for table in (sources, forgotten)}


class Replays:
    """Finds the sources of a call that repeat those of a scope."""

    def __init__(
        self,
        connection: Connection,
        scope_id: int,
        symbols: Sequence[Symbol],
        stored: Mapping[Symbol, Sequence[Place]],
        places: Mapping[int, Place],
        *,
        conversation: bool,
        alone: bool,
        timed: bool,
        now: int,
    ) -> None:
        """Prepare the search.

        Args:
            connection: A transaction.
            scope_id: The scope.
            symbols: What the new sources have in common with equal ones, in order.
            stored: The places that equal each, in order.
            places: All of these by id.
            conversation: Whether the scope is one conversation.
            alone: Whether the call brings one source, over all scopes.
            timed: Whether some of its sources have a time of their own.
            now: The current time, in microseconds since 1970.
        """
        self._connection, self._scope_id = connection, scope_id
        self._symbols, self._stored, self._places = symbols, stored, places
        self._conversation, self._alone, self._timed = conversation, alone, timed
        self._now = now

    def matches(self) -> dict[int, int]:
        """The id of the stored source for each new one that repeats it, by place in the call."""
        if not any(one in self._stored for one in self._symbols):
            return {}
        size = len(self._symbols)
        # A gap needs several sources; for fewer, the end of the scope is enough.
        length = size + 1 if size < MIN_RUN else 2 * size + 64
        tail, complete = self._tail(length)
        found: dict[int, Place] = {}
        if self._timed:
            # Those without a time have that of the call, and stand behind all others.
            written, whole = self._tail(length, written=True)
            found = self._continued(written, complete=whole)
        found = found or self._continued(tail, complete=complete)
        ids = {number: place.id for number, place in found.items()}
        some = size >= MIN_RUN or not (self._alone or self._conversation)
        # A part of an import may begin as the newest sources do.
        if (not found and some) or len(found) < MIN_LONG <= size or size - len(found) >= MIN_LONG:
            runs = _Runs(self._connection, self._scope_id, self._symbols, self._stored).matches(
                self._retried, tail[-1].id if tail else None
            )
            ids = runs if len(runs) > len(ids) else ids
        return ids

    def _tail(self, length: int, *, written: bool = False) -> tuple[list[Place], bool]:
        """The newest places of the scope, oldest first, and whether they are all.

        Args:
            length: How many, at most.
            written: In the order of writing, instead of that in which they were said.
        """
        rows: list[Row[Any]] = []
        for table in (sources, forgotten):
            said = () if written else (table.c.created_at.desc(),)
            newest = PLACES[table].order_by(*said, table.c.id.desc()).limit(length)
            parameters = {"scope_id": self._scope_id, "now": self._now}
            rows += intact(self._connection.execute(newest, parameters))
        rows.sort(key=lambda row: (0 if written else row.created_at, row.id))
        complete = len(rows) < length
        wanted = set(self._symbols)
        found: list[Place] = []
        for row in rows[-length:]:
            place = self._places.get(row.id)
            if place is not None and place.symbols & wanted:
                found.append(place)
            elif _is_said(row):
                found.append(_other(row))
        return found, complete

    def _continued(self, tail: Sequence[Place], *, complete: bool) -> dict[int, Place]:
        """The places of the sources of a call that goes on with the end of the scope."""
        found = self._aligned(tail, complete=complete)
        if found is not None and found.strict:
            return dict(enumerate(found.places))
        changed = edited(self._symbols, tail, self._stored.keys(), MIN_RUN, MAX_GAP)
        if len(changed) > len(found.places if found else ()) and self._is_edit(changed, tail):
            return changed
        return dict(enumerate(found.places)) if found else {}

    def _is_edit(self, changed: Mapping[int, Place], tail: Sequence[Place]) -> bool:
        """Whether a call of which these were found is a transcript that was changed."""
        if len(changed) == len(self._symbols):
            return self._retried(changed.values())
        goes_on = tail[-1] in changed.values() and len(self._symbols) - 1 not in changed
        return self._recent(changed.values(), RECENT if goes_on else EDIT)

    def _aligned(self, tail: Sequence[Place], *, complete: bool) -> _Alignment | None:
        """The longest alignment of the first sources of the call with the end of the scope."""
        starts = [at for at, place in enumerate(tail) if self._symbols[0] in place.symbols]
        starts = starts if len(starts) <= 2 * _MAX_STARTS else _ends(starts)
        for gap in (0, MAX_GAP):
            best: _Alignment | None = None
            for start in starts:
                if best is not None and len(tail) - start < len(best.places):
                    break
                found = self._align(tail, start, gap, first=complete and start == 0)
                # Of equally long ones, the newest.
                longer = best is None or (found and len(found.places) >= len(best.places))
                if found and longer and self._holds(found):
                    best = found
            if best:
                return best
        return None

    def _align(
        self, tail: Sequence[Place], start: int, gap: int, *, first: bool
    ) -> _Alignment | None:
        """The sources of the call from one place on; None if it does not reach the end."""
        places: list[Place] = []
        at, skipped = start, 0
        for one in self._symbols:
            reach = self._reach(tail, at, gap)
            following = next((place for place in reach if one in tail[place].symbols), None)
            if following is None:
                break
            skipped += sum(not place.forgotten for place in tail[at:following])
            places.append(tail[following])
            at = following + 1
        behind = [place for place in tail[at:] if not place.forgotten]
        skipped += len(behind)
        if skipped and (len(behind) > gap or len(places) < MIN_RUN):
            return None
        rest = set(self._symbols[len(places) :])
        changed = any(not rest.isdisjoint(place.symbols) for place in behind)
        return _Alignment(places, not skipped, first, changed)

    @staticmethod
    def _reach(tail: Sequence[Place], at: int, gap: int) -> Iterator[int]:
        """The places that may follow, where forgotten ones are no gap."""
        for number in range(at, len(tail)):
            yield number
            gap -= not tail[number].forgotten
            if gap < 0:
                return

    def _holds(self, found: _Alignment) -> bool:
        """Whether an alignment is a replay, and not the same said again."""
        length = len(found.places)
        if length >= MIN_IMPORT:
            return True
        if length == len(self._symbols):
            # Nothing new: the transcript of a complete conversation, or said again another day.
            whole = self._conversation and found.strict and found.complete
            return (whole and length >= MIN_RUN) or self._retried(found.places)
        if found.strict and (found.complete or length >= MIN_RUN):
            return True
        if found.changed:
            return self._recent(found.places, EDIT)
        # What begins as the newest ends may be a report that is made again and again.
        return self._recent(found.places, RECENT if self._conversation or length > 1 else RETRY)

    def _recent(self, places: Collection[Place], within: timedelta = RECENT) -> bool:
        newest = max(place.added_at for place in places)
        # A clock that was set back says nothing of how long ago that was.
        return abs(self._now - newest) * _MICROSECOND < within

    def _retried(self, places: Collection[Place]) -> bool:
        """Whether a call that brings nothing but these may be a retry."""
        least = MIN_RUN if self._conversation else MIN_LONG
        return self._recent(places, RETRY if len(self._symbols) < least else RECENT)


class _Runs:
    """Finds runs of consecutive sources anywhere in a scope."""

    def __init__(
        self,
        connection: Connection,
        scope_id: int,
        symbols: Sequence[Symbol],
        stored: Mapping[Symbol, Sequence[Place]],
    ) -> None:
        self._symbols, self._stored = symbols, stored
        places = {place.id: place for one in set(symbols) for place in stored.get(one, ())}
        self._next = {
            before: places[id] for id, before in _previous(connection, scope_id, places).items()
        }
        self._used: set[int] = set()

    def matches(
        self, recent: Callable[[Sequence[Place]], bool], newest: int | None
    ) -> dict[int, int]:
        """As `Replays.matches`.

        Args:
            recent: Whether one of some places was added recently.
            newest: The id of the last place of the scope.
        """
        found: dict[int, int] = {}
        at = 0
        while at < len(self._symbols):
            places = self._stored.get(self._symbols[at], ())
            best: list[Place] = []
            for place in places if len(places) <= 2 * _MAX_STARTS else _ends(places):
                run = self._run(at, place)
                complete = len(run) == len(self._symbols)
                enough = complete or len(run) >= MIN_LONG
                replayed = len(run) >= MIN_IMPORT or (enough and recent(run))
                if replayed and len(run) >= len(best):
                    best = run
            for offset, place in enumerate(best):
                found[at + offset] = place.id
                self._used.add(place.id)
            at += max(1, len(best))
        return found if len(self._symbols) < MIN_RUN else self._retry(found, recent, newest)

    def _run(self, at: int, place: Place) -> list[Place]:
        """The longest run that starts with a new and a stored source; none is in two runs."""
        run: list[Place] = []
        after: Place | None = place
        for one in self._symbols[at:]:
            if after is None or after.id in self._used or one not in after.symbols:
                break
            run.append(after)
            after = self._next.get(after.id)
        return run

    def _retry(
        self,
        found: dict[int, int],
        recent: Callable[[Sequence[Place]], bool],
        newest: int | None,
    ) -> dict[int, int]:
        """All sources of the call, if each was added recently and the last of them is the newest.

        They are not in a row if some were known already when it was first tried. Otherwise, what
        is given.
        """
        left = {
            one: [place for place in self._stored.get(one, ()) if place.id not in self._used]
            for one in set(self._symbols)
        }
        all_found, last = dict(found), None
        for at, one in enumerate(self._symbols):
            if at in found:
                continue
            if not left[one] or not recent(left[one][-1:]):
                return found
            last = all_found[at] = left[one].pop().id
        return all_found if last == newest else found


def _is_said(row: Row[Any]) -> bool:
    """Whether a source has a place among others, or stands beside them."""
    beside = row.kind == "document" or row.external_id is not None
    return not (beside or row.role in _STANDING_ROLES)


def _other(row: Row[Any]) -> Place:
    """The place of a source that equals none of the call."""
    none: frozenset[Symbol] = frozenset()
    return Place(
        row.id,
        row.created_at,
        row.added_at,
        row.content_hash,
        row.occurrence,
        symbols=none,
        former=none,
        forgotten=bool(row.forgotten),
    )


def _ends(found: Sequence[Any]) -> list[Any]:
    return [*found[:_MAX_STARTS], *found[-_MAX_STARTS:]]


def _previous(connection: Connection, scope_id: int, places: Mapping[int, Place]) -> dict[int, int]:
    """By id, the source of the scope, or the place of a forgotten one, that was just before."""
    before: dict[int, tuple[int, int]] = {}
    for table in (sources, forgotten):
        for own in (sources, forgotten):
            for id, when, other in _just_before(connection, scope_id, places, own, table):
                if other is not None:
                    before[id] = max(before.get(id, (when, other)), (when, other))
    return {id: other for id, (_, other) in before.items()}


def _just_before(
    connection: Connection, scope_id: int, ids: Iterable[int], own: Table, table: Table
) -> list[tuple[int, int, int]]:
    """For those ids that are in one table, the row just before in another: id, its time, its id."""
    earlier = table.alias("earlier")
    # Cast, because a damaged row may have anything there.
    in_scope = select(func.json_array(earlier.c.created_at.cast(Integer), earlier.c.id)).where(
        earlier.c.scope_id == scope_id
    )
    # One condition for both could not use the index, and long imports have one time.
    same_time = in_scope.where(earlier.c.created_at == own.c.created_at, earlier.c.id < own.c.id)
    other_time = in_scope.where(earlier.c.created_at < own.c.created_at)
    before = func.coalesce(
        *(
            one.order_by(earlier.c.created_at.desc(), earlier.c.id.desc())
            .limit(1)
            .correlate(own)
            .scalar_subquery()
            for one in (same_time, other_time)
        )
    )
    rows = connection.execute(
        select(own.c.id, before).where(own.c.scope_id == scope_id, own.c.id.in_(id_list(ids)))
    )
    return [(row[0], *json.loads(row[1])) for row in rows if row[1] is not None]
