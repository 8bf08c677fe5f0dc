"""The values of metadata by name, so that a filter reads an index instead of every row's JSON.

One row for each key of a source's metadata: its name in composed form, the kind of its value, and
the value itself, if it is one that SQLite compares exactly as Python does. All else (lists,
objects, long texts, integers beyond 53 bits) is `ODD`: such a row only says that the source has the
key, and the filter looks at the source's metadata. So the table decides most conditions on most
stores, and never another way than `agentmem_storage.sql.where.filters.Matcher`.

Rows are written and deleted with their source, in the same transaction. A source whose metadata
are damaged later is found by what they were, until `check` has reported it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    insert,
    not_,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.types import NullType

from agentmem_storage.errors import InputError
from agentmem_storage.metadata import has_null_character
from agentmem_storage.sql.schema.tables import metadata_values, sources
from agentmem_storage.sql.where.fields import ORDER
from agentmem_storage.text import composed, lone_surrogate

ODD, NULL, FALSE, TRUE, NUMBER, TEXT = range(6)
# Longer texts are looked up in the metadata: each is in two b-trees here.
_MAX_TEXT = 200
# Integers up to here are floats too, and every version of SQLite compares the two exactly.
_EXACT = 2**53
# Rows of the step that fills the table, read at once.
_BATCH = 10_000

# As they are, for damaged ones may be of any type.
_METADATA = select(
    sources.c.id, type_coerce(sources.c.metadata, NullType()).label("metadata")
).order_by(sources.c.id)

# Built once: made anew, it leaves reference cycles.
_DROP = delete(metadata_values).where(
    metadata_values.c.source_id == bindparam("given"),
    ~exists().where(sources.c.id == metadata_values.c.source_id),
)

_NAME, _KIND, _VALUE = (metadata_values.c[name] for name in ("name", "kind", "value"))
# The other order if a float beside a number that is none takes its place.
_ROUNDED_UP = {"gt": "gte", "gte": "gte", "lt": "lt", "lte": "lt"}
_ROUNDED_DOWN = {"gt": "gt", "gte": "gt", "lt": "lte", "lte": "lte"}


def values_of(metadata: bytes | None) -> dict[str, tuple[int, Any]]:
    """Kind and value by name, of metadata as they are stored; nothing of damaged ones."""
    try:
        node = json.loads((metadata or b"{}").decode())
    except (AttributeError, ValueError, RecursionError):  # a damaged column may hold any type
        return {}
    if not isinstance(node, dict):
        return {}
    found: dict[str, tuple[int, Any]] = {}
    for key, value in node.items():
        name = composed(key)
        if lone_surrogate(name) is None:
            # Of two keys that read the same, it depends on the filter which one it means.
            found[name] = (ODD, None) if name in found else _value(value)
    return found


def write(connection: Connection, metadata: Mapping[int, bytes | None]) -> None:
    """Write the values of sources, by their ids; they have none yet.

    Raises:
        InputError: They have U+0000 in them, and the database is PostgreSQL: its functions could
            not read them, and no filter would find anything any more.
    """
    if connection.dialect.name == "postgresql":
        if any(encoded and has_null_character(encoded) for encoded in metadata.values()):
            raise InputError(
                "PostgreSQL cannot keep the character U+0000 in metadata; nothing was written: "
                "leave it out"
            )
    rows = [
        {"source_id": id, "name": name, "kind": kind, "value": value}
        for id, encoded in metadata.items()
        for name, (kind, value) in values_of(encoded).items()
    ]
    if rows:
        connection.execute(insert(metadata_values), rows)


def replace(connection: Connection, source_id: int, metadata: bytes | None) -> None:
    """Write the values of a source in place of those that it has."""
    connection.execute(delete(metadata_values).where(metadata_values.c.source_id == source_id))
    write(connection, {source_id: metadata})


def drop(connection: Connection, source_ids: Iterable[int]) -> None:
    """Delete the values of those of the given sources that have been deleted."""
    if rows := [{"given": id} for id in source_ids]:
        connection.execute(_DROP, rows)


def differing(connection: Connection, source_ids: Sequence[int]) -> list[int]:
    """Those of the given sources whose values are not those of their metadata."""
    found: dict[int, dict[str, Any]] = {id: {} for id in source_ids}
    query = select(metadata_values).where(metadata_values.c.source_id.in_(source_ids))
    for row in connection.execute(query):
        found[row.source_id][row.name] = row.kind, row.value
    metadata = connection.execute(_METADATA.where(sources.c.id.in_(source_ids))).all()
    return [row.id for row in metadata if found[row.id] != values_of(row.metadata)]


def rebuild(connection: Connection) -> None:
    """Write the values of all sources anew."""
    connection.execute(delete(metadata_values))
    last = 0
    query = _METADATA.limit(_BATCH)
    while rows := connection.execute(query.where(sources.c.id > last)).all():
        write(connection, {row.id: row.metadata for row in rows})
        last = rows[-1].id


def condition(
    name: str,
    op: str,
    operand: Any,
    source_id: ColumnElement[int],
    looked_up: ColumnElement[bool],
) -> ColumnElement[bool]:
    """A condition on a metadata key, never NULL.

    Args:
        name: Name of the key; a dot descends.
        op: One of the operators of a filter.
        operand: Its operand, checked.
        source_id: The column that names the source of a row.
        looked_up: The same condition on ``sources.metadata``.
    """
    if "." in name:
        return _nested(name, op == "exists" and not operand, source_id, looked_up)
    own = _NAME == composed(name)
    if op == "exists":
        has = source_id.in_(select(metadata_values.c.source_id).where(own))
        return has if operand else not_(has)
    sure = select(metadata_values.c.source_id).where(own, _holds(op, operand))
    return source_id.in_(sure.union_all(_with_metadata(own, _KIND == ODD, looked_up)))


def _nested(
    path: str, absent: bool, source_id: ColumnElement[int], looked_up: ColumnElement[bool]
) -> ColumnElement[bool]:
    """A condition on what is inside a key: only sources that have the key are looked at.

    Args:
        path: The key itself may contain the dots, too.
        absent: Whether the condition is that there is no such value; any other needs one.
        source_id: As in `condition`.
        looked_up: Likewise.
    """
    names = _NAME.in_(dict.fromkeys([composed(path), composed(path.partition(".")[0])]))
    found = source_id.in_(_with_metadata(names, not_(looked_up) if absent else looked_up))
    return not_(found) if absent else found


def _with_metadata(*conditions: ColumnElement[bool]) -> Select[tuple[int]]:
    """Ids of sources, by conditions on their values and on their metadata."""
    return (
        select(metadata_values.c.source_id)
        .join(sources, sources.c.id == metadata_values.c.source_id)
        .where(*conditions)
        .correlate(None)
    )


def _value(value: Any) -> tuple[int, Any]:
    if value is None:
        return NULL, None
    if isinstance(value, bool):
        return (TRUE if value else FALSE), None
    if isinstance(value, int) and abs(value) <= _EXACT:
        return NUMBER, value
    if isinstance(value, float) and math.isfinite(value):
        return NUMBER, value
    if isinstance(value, str) and len(value) <= _MAX_TEXT:
        text = composed(value)
        if len(text) <= _MAX_TEXT and "\x00" not in text and lone_surrogate(text) is None:
            return TEXT, text
    return ODD, None


def _holds(op: str, operand: Any) -> ColumnElement[bool]:
    """Whether a row that is not odd satisfies a condition; false for rows that are."""
    if op in ("eq", "in"):
        return _is_one_of(operand if op == "in" else [operand])
    if op in ("ne", "not_in"):
        return and_(_KIND != ODD, not_(_is_one_of(operand if op == "not_in" else [operand])))
    if op == "contains":
        if not isinstance(operand, str):
            return false()  # only lists have members, and they are odd
        return and_(_KIND == TEXT, func.instr(_VALUE, composed(operand)) > 0)
    if isinstance(operand, str):
        return and_(_KIND == TEXT, ORDER[op](_VALUE, composed(operand)))
    order, number = _comparable(op, operand)
    return and_(_KIND == NUMBER, ORDER[order](_VALUE, number))


def _is_one_of(wanted: Sequence[Any]) -> ColumnElement[bool]:
    """Whether the value is one of several; NULLs of the other kinds do not get into it."""
    texts = [composed(one) for one in wanted if isinstance(one, str)]
    numbers = [
        exact
        for one in wanted
        if isinstance(one, int | float) and not isinstance(one, bool)
        for exact in _exactly(one)
    ]
    kinds = {None: NULL, False: FALSE, True: TRUE}
    plain = {kinds[one] for one in wanted if one is None or isinstance(one, bool)}
    parts = [_KIND == kind for kind in sorted(plain)]
    if texts:
        parts.append(and_(_KIND == TEXT, _listed(texts)))
    if numbers:
        parts.append(and_(_KIND == NUMBER, _listed(numbers)))
    return or_(*parts) if parts else false()


def _listed(wanted: Sequence[Any]) -> ColumnElement[bool]:
    return _VALUE == wanted[0] if len(wanted) == 1 else _VALUE.in_(wanted)


def _exactly(number: float) -> list[float]:
    """The number as a row may hold it, in a list; an empty list if none can."""
    if isinstance(number, float) or abs(number) <= _EXACT:
        return [number]
    _, rounded = _comparable("gte", number)
    return [rounded] if rounded == number else []


def _comparable(op: str, number: float) -> tuple[str, float]:
    """An order and a number that SQLite knows, which every row is compared with alike."""
    if isinstance(number, float) or abs(number) <= _EXACT:
        return op, number
    try:
        rounded = float(number)
    except OverflowError:
        rounded = math.inf if number > 0 else -math.inf
    if rounded == number:
        return op, rounded
    return (_ROUNDED_UP if rounded > number else _ROUNDED_DOWN)[op], rounded
