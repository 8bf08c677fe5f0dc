"""A `Selection` as a query for the ids of the chunks it speaks of."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable
from typing import SupportsIndex

from sqlalchemy import ColumnElement, Integer, Select, bindparam, column, func, select

from agentmem_storage.errors import InputError
from agentmem_storage.moments import to_micros
from agentmem_storage.records import Scope, Selection
from agentmem_storage.sql.filters import compile_filter
from agentmem_storage.sql.rows import check_scope
from agentmem_storage.sql.tables import chunks, scopes, sources

_MAX_ID = 2**63 - 1


def chosen(selection: Selection) -> Select[tuple[int]]:
    """The ids of the chunks that a selection speaks of, in no order.

    Raises:
        FilterError: The selection's filter has a wrong shape.
        InputError: An id is no number, or a moment has no time zone.
    """
    query = select(chunks.c.id)
    words = scope_words(selection.scope)
    if words:
        query = query.where(chunks.c.scope_id.in_(select(scopes.c.id).where(*words)))
    if selection.ids is not None:
        query = query.where(chunks.c.id.in_(numbers(selection.ids)))
    if selection.source_ids is not None:
        query = query.where(chunks.c.source_id.in_(numbers(selection.source_ids)))
    of_source = _source_conditions(selection)
    if of_source:
        query = query.join(sources, sources.c.id == chunks.c.source_id).where(*of_source)
    return query


def scope_words(scope: Scope) -> list[ColumnElement[bool]]:
    """One condition on the table of scopes for each word that is given.

    Raises:
        InputError: A word is empty, or no text.
    """
    check_scope(scope)
    given = {
        scopes.c.user_id: scope.user_id,
        scopes.c.agent_id: scope.agent_id,
        scopes.c.session_id: scope.session_id,
    }
    return [stored == word for stored, word in given.items() if word is not None]


def _listed(ids: object) -> Select[tuple[int]]:
    values = func.json_each(ids).table_valued(column("value", Integer))
    return select(values.c.value)


# The ids that a statement is executed with, `given` says how. To make a statement takes longer
# than to run it, so that those of a recall are made once.
GIVEN = _listed(bindparam("given"))


def given(ids: Iterable[SupportsIndex]) -> dict[str, str]:
    """The parameters of a statement that has `GIVEN` in it.

    Raises:
        InputError: If one is no id.
    """
    return {"given": json.dumps([as_id(one) for one in ids])}


def numbers(ids: Iterable[SupportsIndex]) -> Select[tuple[int]]:
    """A list of ids as a subquery: however long it is, it takes one bound value.

    Raises:
        InputError: If one is no id.
    """
    return _listed(given(ids)["given"])


def as_id(value: SupportsIndex) -> int:
    """An id as a plain int that SQLite can hold; NumPy's integers are welcome.

    Raises:
        TypeError: If it is no integer.
        InputError: If no id can be that large.
    """
    number = operator.index(value)
    if not -_MAX_ID <= number <= _MAX_ID:
        raise InputError(f"{number!r} is no id: ids have 63 bits at most")
    return number


def _source_conditions(selection: Selection) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if selection.where is not None:
        conditions.append(compile_filter(selection.where))
    if selection.since is not None:
        conditions.append(sources.c.created_at >= to_micros(selection.since, "since"))
    if selection.until is not None:
        conditions.append(sources.c.created_at < to_micros(selection.until, "until"))
    return conditions
