"""Compiles a `Selection` to a query for the ids of its chunks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, SupportsIndex

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    bindparam,
    case,
    column,
    false,
    func,
    literal_column,
    select,
    text,
)

from agentmem_storage.errors import InputError
from agentmem_storage.numbers import as_int
from agentmem_storage.records import Scope, Selection
from agentmem_storage.sql.schema.rows import check_scope
from agentmem_storage.sql.schema.tables import chunks, scopes, sources
from agentmem_storage.sql.where.expiry import expired_ids, is_alive
from agentmem_storage.sql.where.filters import compile_by_value, compile_filter
from agentmem_storage.text import shown
from agentmem_storage.timestamps import DAY_MICROS, to_micros

_MAX_ID = 2**63 - 1


def selected(
    selection: Selection, *, now: int | None, few: bool | None = None
) -> Select[tuple[int]]:
    """A query for the ids of the selected chunks, unordered.

    Args:
        selection: What to select.
        now: The time that decides what has expired, in microseconds since 1970; None if nothing
            has, see `agentmem_storage.sql.where.expiry.moment`.
        few: Whether the selection is a small part of the store even without its filter, which then
            reads the metadata of that part; otherwise it finds values by an index over the whole
            store. None: a part that is given by a scope or by ids is taken to be small.

    Raises:
        FilterError: The selection's filter is malformed.
        InputError: An id is not a number, or a time has no zone.
    """
    query = select(chunks.c.id)
    conditions = scope_conditions(selection.scope)
    if conditions:
        query = query.where(chunks.c.scope_id.in_(select(scopes.c.id).where(*conditions)))
    if selection.ids is not None:
        query = query.where(chunks.c.id.in_(id_list(selection.ids)))
    if selection.source_ids is not None:
        query = query.where(chunks.c.source_id.in_(id_list(selection.source_ids)))
    if selection.external_ids is not None:
        query = query.where(chunks.c.source_id.in_(_named(selection.external_ids)))
    query = query.where(*_lifetime(selection.expired, now))
    if few is None:
        parts = (selection.ids, selection.source_ids, selection.external_ids)
        few = bool(conditions) or parts != (None, None, None)
    of_source = _time_conditions(selection)
    joined = bool(of_source)
    if selection.where is not None and few:
        joined = True
        of_source.append(compile_filter(selection.where))
    elif selection.where is not None:
        compiled = compile_by_value(selection.where, chunks.c.source_id)
        joined |= compiled.reads_sources
        of_source.append(compiled.condition)
    if joined:
        query = query.join(sources, sources.c.id == chunks.c.source_id)
    return query.where(*of_source)


def scope_conditions(scope: Scope) -> list[ColumnElement[bool]]:
    """One condition on the table of scopes for each given scope id.

    Raises:
        InputError: A scope id is empty or not valid Unicode.
    """
    check_scope(scope)
    given = {
        scopes.c.user_id: scope.user_id,
        scopes.c.agent_id: scope.agent_id,
        scopes.c.session_id: scope.session_id,
    }
    return [stored == word for stored, word in given.items() if word is not None]


def _lifetime(expired: bool | None, now: int | None) -> list[ColumnElement[bool]]:
    """The condition on what has expired, if there is one."""
    if expired is None:
        return []
    if now is None:
        return [false()] if expired else []
    owner = chunks.c.source_id
    return [owner.in_(expired_ids(now)) if expired else is_alive(owner, now)]


def _named(external_ids: Iterable[str]) -> Select[tuple[int]]:
    """The sources that have one of some external ids, in any scope."""
    return (
        select(sources.c.id)
        .where(sources.c.external_id.in_(text_list(external_ids)))
        .correlate(None)
    )


def text_list(texts: Iterable[str]) -> Select[tuple[str]]:
    """Texts as a subquery with a single bound value, however many they are."""
    values = func.json_each(json.dumps(list(texts))).table_valued(column("value", Text))
    return select(values.c.value)


def _listed(ids: object) -> Select[tuple[int]]:
    values = func.json_each(ids).table_valued(column("value", Integer))
    return select(values.c.value)


# Placeholder for the ids passed by `given`. Compiling a statement takes longer than running it, so
# those of a recall are compiled once.
GIVEN = _listed(bindparam("given"))


def given(ids: Iterable[SupportsIndex]) -> dict[str, str]:
    """The parameters of a statement that contains `GIVEN`.

    Raises:
        InputError: One is not an id.
    """
    return {"given": json.dumps([as_id(one) for one in ids])}


# As text, because the columns of a function that returns a table are made anew each time, and refer
# to it in a circle, which the garbage collector has to find.
_ID: ColumnElement[int] = literal_column("value", Integer)
_IDS = text("json_each(CAST(:ids AS TEXT))")


def id_list(ids: Iterable[SupportsIndex]) -> Select[Any]:
    """A list of ids as a subquery with a single bound value, however long the list.

    Raises:
        InputError: One is not an id.
    """
    listed = _IDS.bindparams(bindparam("ids", given(ids)["given"], unique=True))
    return select(_ID).select_from(listed).correlate(None)


def as_id(value: SupportsIndex) -> int:
    """An id as an int that SQLite can store; accepts NumPy integers, but no truth values.

    Raises:
        TypeError: It is not an integer.
        InputError: It is too large.
    """
    number = value if type(value) is int else as_int(value, "an id")
    if not -_MAX_ID <= number <= _MAX_ID:
        raise InputError(f"{shown(number)} is not an id: ids have at most 63 bits")
    return number


def _time_conditions(selection: Selection) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if selection.since is not None:
        conditions.append(sources.c.created_at >= to_micros(selection.since, "since"))
    if selection.until is not None:
        conditions.append(sources.c.created_at < to_micros(selection.until, "until"))
    since, until = selection.days
    # No index knows of days, so bounds that it can look up come first.
    if since is not None:
        bounds = _bounds(since)
        conditions += [sources.c.created_at >= min(bounds), ~_is_before(bounds)]
    if until is not None:
        bounds = _bounds(until)
        conditions += [sources.c.created_at < max(bounds), _is_before(bounds)]
    return conditions


def _bounds(midnight: datetime) -> tuple[int, int]:
    """When a day begins: for what has only a date, and for what has a time.

    What has only a date, which is stored as midnight in UTC, has it in every zone.
    """
    return to_micros(midnight.replace(tzinfo=UTC), "days"), to_micros(midnight, "days")


def _is_before(bounds: tuple[int, int]) -> ColumnElement[bool]:
    """Whether something was said on a day before that which begins there."""
    said = sources.c.created_at
    return said < case((said % DAY_MICROS == 0, bounds[0]), else_=bounds[1])
