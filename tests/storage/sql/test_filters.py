"""The ``where=`` filter language, compared with an evaluation in plain Python."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, delete, event, insert, select
from sqlalchemy.pool import StaticPool

from agentmem_storage.errors import FilterError
from agentmem_storage.metadata import metadata_json
from agentmem_storage.sql.schema.tables import metadata_values, schema, sources
from agentmem_storage.sql.where.fields import TEXTS as FIELDS
from agentmem_storage.sql.where.fields import TIMES
from agentmem_storage.sql.where.filters import OPERATORS, compile_by_value, compile_filter, install
from agentmem_storage.sql.where.metadata_values import write
from agentmem_storage.timestamps import to_micros

Row = dict[str, Any]

NAMES = ["a", "b", "a.b", "role", 'q"', "é", "", "and"]
TEXTS = st.sampled_from(["", "a", "b", "ab", "1", "é", "\x00", "a\x00b", "🚆", "null"])
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.1, 1.0, -0.0, 2.0**53, 2**53 + 1, 2**64, 1e300]),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    ),
    max_leaves=6,
)
ROWS = st.fixed_dictionaries(
    {"metadata": st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4)},
    optional={name: TEXTS for name in FIELDS if name != "kind"},
)


def operators(scalars: st.SearchStrategy[Any], ordered: st.SearchStrategy[Any]) -> Any:
    """Operators with operands."""
    one = {name: scalars for name in ("eq", "ne", "contains")}
    several = {name: st.lists(scalars, max_size=3) for name in ("in", "not_in")}
    order = {name: ordered for name in ("gt", "gte", "lt", "lte")}
    choices: dict[str, Any] = {**one, **several, **order, "exists": st.booleans()}
    return st.sampled_from(OPERATORS).flatmap(lambda op: st.fixed_dictionaries({op: choices[op]}))


PATHS = ["a", "b", "a.b", "a.a", "b.a.b", 'q"', "é", "", "metadata.role", "metadata.and", "a."]
LEAVES = st.one_of(
    st.dictionaries(
        st.sampled_from(PATHS), operators(SCALARS, NUMBERS | TEXTS) | SCALARS, max_size=2
    ),
    st.dictionaries(st.sampled_from(FIELDS), operators(TEXTS, TEXTS) | TEXTS, max_size=2),
)
FILTERS = st.recursive(
    LEAVES,
    lambda inner: (
        st.fixed_dictionaries({"and": st.lists(inner, max_size=3)})
        | st.fixed_dictionaries({"or": st.lists(inner, max_size=3)})
        | st.fixed_dictionaries({"not": inner})
    ),
    max_leaves=5,
)


def oracle(row: Row, where: Row) -> bool:
    """The language in plain Python, as its docstring has it."""
    for name, value in where.items():
        if name == "and":
            held = all([oracle(row, part) for part in value])
        elif name == "or":
            held = any([oracle(row, part) for part in value])
        elif name == "not":
            held = not oracle(row, value)
        else:
            tests = value if isinstance(value, dict) else {"eq": value}
            held = all([holds(row, name, op, wanted) for op, wanted in tests.items()])
        if not held:
            return False
    return True


def holds(row: Row, name: str, op: str, wanted: Any) -> bool:
    if name in FIELDS:
        found = [row[name]] if name in row else []
    else:
        found = dig(row["metadata"], name.removeprefix("metadata."))
    if op == "exists":
        return bool(found) is bool(wanted)
    if not found:
        return False
    (value,) = found
    match op:
        case "eq":
            return equal(value, wanted)
        case "ne":
            return not equal(value, wanted)
        case "in":
            return any(equal(value, one) for one in wanted)
        case "not_in":
            return not any(equal(value, one) for one in wanted)
        case "contains":
            if isinstance(value, list):
                return any(equal(member, wanted) for member in value)
            return isinstance(value, str) and isinstance(wanted, str) and bool(wanted in value)
    if is_number(value) and is_number(wanted) or isinstance(value, str) and isinstance(wanted, str):
        less, same = value < wanted, value == wanted
        held = {"gt": not less and not same, "gte": not less, "lt": less, "lte": less or same}
        return bool(held[op])
    return False


def dig(node: Any, path: str) -> list[Any]:
    """What a path leads to, in a list; an empty list if nowhere."""
    if not isinstance(node, dict):
        return []
    if path in node:
        return [node[path]]
    head, *rest = path.split(".", 1)
    return dig(node[head], rest[0]) if rest and head in node else []


def is_number(value: Any) -> bool:
    return type(value) in (int, float)


def equal(value: Any, wanted: Any) -> bool:
    alike = type(value) is type(wanted) or (is_number(value) and is_number(wanted))
    return alike and bool(value == wanted)


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    event.listen(engine, "connect", lambda driver, _: install(driver))
    sources.metadata.create_all(engine, [schema.tables["scopes"], sources, metadata_values])
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def select_rows(connection: Connection, rows: list[Row], where: Row) -> list[int]:
    """Numbers of the rows that a filter selects in SQL."""
    connection.execute(delete(sources))
    connection.execute(delete(metadata_values))
    needed = {"kind": "message", "created_at": 0, "added_at": 0, "chars": 0}
    for number, row in enumerate(rows):
        # Each in its own scope, which has an external id once.
        values = {
            "id": number,
            "scope_id": number,
            **needed,
            **row,
            "metadata": metadata_json(row["metadata"]),
        }
        connection.execute(insert(sources).values(values))
        write(connection, {number: values["metadata"]})
    read, looked_up = (
        list(connection.scalars(select(sources.c.id).where(condition).order_by(sources.c.id)))
        for condition in (
            compile_filter(where),
            compile_by_value(where, sources.c.id).condition,
        )
    )
    assert read == looked_up
    return read


@given(rows=st.lists(ROWS, min_size=1, max_size=4), where=FILTERS)
def test_sql_selects_what_plain_python_does(
    connection: Connection, rows: list[Row], where: Row
) -> None:
    rows = [{"kind": "message", **row} for row in rows]
    expected = [number for number, row in enumerate(rows) if oracle(row, where)]
    assert select_rows(connection, rows, where) == expected


@pytest.mark.parametrize(
    ("metadata", "where", "selected"),
    [
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": True}, {"a": 1}, False),
        ({"a": True}, {"a": True}, True),
        ({"a": None}, {"a": None}, True),
        ({}, {"a": None}, False),
        ({"a": None}, {"a": {"exists": True}}, True),
        ({}, {"a": {"exists": False}}, True),
        ({}, {"a": {"ne": 1}}, False),
        ({"a": "1"}, {"a": {"ne": 1}}, True),
        ({}, {"a": {"not_in": [1]}}, False),
        ({}, {"not": {"a": 1}}, True),
        ({"a": "2"}, {"a": {"gt": 1}}, False),
        ({"a": 2001}, {"a": {"gte": 2001, "lt": 2010}}, True),
        ({"a": 2010}, {"a": {"gte": 2001, "lt": 2010}}, False),
        ({"a": "Lyon"}, {"a": {"contains": "yo"}}, True),
        ({"a": "Lyon"}, {"a": {"contains": "lyon"}}, False),
        ({"a": ["x", 1]}, {"a": {"contains": 1}}, True),
        ({"a": ["x", 1]}, {"a": {"contains": True}}, False),
        ({"a": ["xyz"]}, {"a": {"contains": "y"}}, False),
        ({"a": {"b": {"c": 1}}}, {"a.b.c": 1}, True),
        ({"a.b": {"c": 1}}, {"a.b.c": 1}, False),
        ({"a.b": 1}, {"a.b": 1}, True),
        ({"role": "x"}, {"metadata.role": "x"}, True),
        ({"role": "x"}, {"role": "x"}, False),
        ({"x": 9007199254740993}, {"x": 9007199254740992.0}, False),
        ({"x": "a\x00b"}, {"x": "a\x00c"}, False),
        ({}, {"or": []}, False),
        ({}, {"and": []}, True),
    ],
    ids=repr,
)
def test_rules(connection: Connection, metadata: Row, where: Row, selected: bool) -> None:
    assert select_rows(connection, [{"metadata": metadata}], where) == [0] * selected


MOMENTS = st.datetimes(datetime(2024, 5, 1), datetime(2024, 5, 3)).map(
    lambda moment: moment.replace(tzinfo=UTC)
)


@given(
    said=st.lists(MOMENTS, min_size=1, max_size=4),
    op=st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]),
    data=st.data(),
)
def test_times_are_compared_as_moments(
    connection: Connection, said: list[datetime], op: str, data: st.DataObject
) -> None:
    """However they are written, and in whatever zone."""
    wanted = data.draw(st.sampled_from(said) | MOMENTS)
    there = wanted.astimezone(timezone(timedelta(hours=data.draw(st.integers(-12, 12)))))
    given = data.draw(st.sampled_from([wanted, there, there.isoformat()]))
    rows = [{"metadata": {}, "created_at": to_micros(one, "said")} for one in said]
    holds = getattr(operator, {"gte": "ge", "lte": "le"}.get(op, op))
    expected = [number for number, one in enumerate(said) if holds(one, wanted)]
    assert select_rows(connection, rows, {"created_at": {op: given}}) == expected


@pytest.mark.parametrize(
    ("where", "selected"),
    [
        ({"created_at": "2024-05-01T12:00:00Z"}, True),
        ({"created_at": "2024-05-01T14:00:00+02:00"}, True),
        ({"created_at": "2024-05-01T12:00:00"}, True),
        ({"created_at": 1714564800}, True),
        ({"created_at": datetime(2024, 5, 1, 12)}, True),
        ({"created_at": {"gte": "2024-05-01", "lt": "2024-05-02"}}, True),
        ({"created_at": {"gt": "2024-05-01T12:00:00Z"}}, False),
        ({"created_at": {"in": ["2024-05-01", "2024-05-01T12:00:00Z"]}}, True),
        ({"created_at": {"not_in": ["2024-05-01"]}}, True),
        ({"created_at": {"exists": True}}, True),
        ({"created_at": {"exists": False}}, False),
        ({"not": {"created_at": {"lt": "2025-01-01"}}}, False),
        ({"metadata.created_at": "long ago"}, True),
    ],
    ids=repr,
)
def test_rules_of_times(connection: Connection, where: Row, selected: bool) -> None:
    noon = to_micros(datetime(2024, 5, 1, 12, tzinfo=UTC), "noon")
    row = {"metadata": {"created_at": "long ago"}, "created_at": noon}
    assert TIMES == ("created_at",)
    assert select_rows(connection, [row], where) == [0] * selected


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"a": {"above": 1}}, ", ".join(OPERATORS)),
        ({"a": {"$gt": 1}}, "unknown operator '\\$gt'"),
        ({"a": {}}, "no operator"),
        ({"a": [1, 2]}, "'eq' of 'a'"),
        ({"a": {"in": "abc"}}, "takes a list"),
        ({"a": {"in": [[1]]}}, "'in' of 'a'"),
        ({"a": {"exists": 1}}, "True or False"),
        ({"a": {"gt": None}}, "number or a string"),
        ({"a": {"lt": True}}, "number or a string"),
        ({"a": math.nan}, "finite"),
        ({"a": {"gt": math.inf}}, "finite"),
        ({"a": 10**5000}, "finite number.*thousands of digits"),
        ({"a": "\ud800"}, "takes a string"),
        ({"\ud800": 1}, "names are strings"),
        ({1: 2}, "names are strings"),
        ({"and": {"a": 1}}, "list of filters"),
        ({"or": [1]}, "a filter is a mapping"),
        ({"not": [1]}, "a filter is a mapping"),
        ("a = 1", "a filter is a mapping"),
        ({"role": 1}, "'metadata.role'"),
        ({"role": {"gt": None}}, "'role': None"),
        ({"user_id": 5}, "'metadata.user_id'"),
        ({"id": "5"}, "whole number.*'metadata.id'"),
        ({"id": True}, "whole number"),
        ({"source_id": {"in": [1, 2.0]}}, "whole number"),
        ({"id": {"contains": 1}}, "any operator but 'contains'"),
        ({"id": 2**70}, "63 bits"),
        ({"created_at": "long ago"}, "'eq' of 'created_at' takes a time.*'long ago'"),
        ({"created_at": None}, "takes a time"),
        ({"created_at": True}, "takes a time"),
        ({"created_at": math.nan}, "takes a time"),
        ({"created_at": {"gt": 1e30}}, "takes a time"),
        ({"created_at": {"in": "2024"}}, "takes a list"),
        ({"created_at": {"in": [[]]}}, "takes a time"),
        ({"created_at": {"contains": "2024"}}, "any operator but 'contains'"),
        ({"created_at": {"after": "2024"}}, "unknown operator 'after'"),
        ({"a": {"in": list(range(6000))}}, "5000 values"),
        ({"or": [{"a": 1}] * 300}, "200 conditions"),
        ({"or": [{"not": {}}] * 1000}, "combine 400 filters"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_filter_is_refused(where: Any, words: str) -> None:
    with pytest.raises(FilterError, match=words):
        compile_filter(where)


def test_nesting_has_a_bound() -> None:
    where: Row = {"a": 1}
    for _ in range(100):
        where = {"not": where}
    with pytest.raises(FilterError, match="nested"):
        compile_filter(where)


def test_the_largest_filter_runs(connection: Connection) -> None:
    deep: Row = {"a": 1}
    for _ in range(30):
        deep = {"and": [deep]}
    wide = {"or": [{"role": {"ne": "x"}, "a": {"gt": 0}} for _ in range(99)]}
    rows = [{"metadata": {"a": 1}, "role": "u"}]
    assert select_rows(connection, rows, {"and": [deep, wide]}) == [0]
    assert select_rows(connection, rows, {"role": {"in": [str(n) for n in range(4999)]}}) == []


def test_damaged_metadata_fulfil_nothing(connection: Connection) -> None:
    connection.execute(delete(sources))
    values = {"scope_id": 1, "created_at": 0, "added_at": 0, "chars": 0, "kind": "message"}
    connection.execute(insert(sources).values(id=1, metadata=b'{"a": \xff', **values))
    query = select(sources.c.id)
    assert connection.scalars(query.where(compile_filter({"a": {"exists": True}}))).all() == []
    assert connection.scalars(query.where(compile_filter({"kind": "message"}))).all() == [1]
