"""What SQLite decides about metadata is what Python decides, however the JSON is written."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, event, insert, select
from sqlalchemy.pool import StaticPool

from agentmem_storage.sql.schema.tables import schema, sources
from agentmem_storage.sql.where.filters import Matcher, compile_by_value, compile_filter, install
from agentmem_storage.sql.where.metadata_values import write

# Values as they may stand in a file, whoever wrote it.
WRITTEN = [
    *("0", "-0", "1", "1.0", "1e0", "-1", "10e-1", "100E-2", "0.1", "0.10", "1e400", "-1e400"),
    *("9007199254740993", "9007199254740993.0", "9223372036854775807", "9223372036854775808"),
    *("-9223372036854775808", "-9223372036854775809", "1e300", "5e-324", "2.5e-324", "0.3"),
    *("0.30000000000000004", "0.1000000000000000055511151231257827", "1" * 400),
    *('""', '"web"', '"WEB"', '"1"', '"a b"', '"true"', '"\\u0077eb"', '"w\\"eb"', '"ｗｅｂ"'),
    *('"a\\u0000"', '"é"', '"e\\u0301"', "true", "false", "null", "[]", "{}", "[1]", '["web"]'),
    *('["x", "ｗｅｂ"]', '[["web"]]', '{"web": "web"}', '["\\u0077eb"]', "[1.0, true, null]"),
    *('["x", "web"]', '[{"a": "web"}, "e"]', '[["web"], ["1"]]', '{"a": ["web"]}', '["", "1"]'),
    *("NaN", "Infinity", "01", ".5", "'web'", "tru", "", "web", "[1", "1 2"),
]
ROWS = [
    None,
    *(f'{{"k":{value}}}'.encode() for value in WRITTEN),
    *(f' {{ "x" : "k" , "k" : {value} }} '.encode() for value in WRITTEN[:40]),
    *(f'{{"x": "é", "k": {value}}}'.encode() for value in WRITTEN[:40]),
    *(b"[]", b"1", b'"k"', b"", b"{", b"null", b'{"\\u006b": 1}', b"\xff"),
    *(b'{"k": 1}\x00', b'{"k": "a\x00b"}', b'{"K": 1}', b'{"x": {"k": 1}}', b'{"k": 1, }'),
    b"[" * 2000 + b"]" * 2000,
]
OPERANDS = [
    *(0, 1, -1, 1.0, 0.1, 0.3, 0.30000000000000004, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**80),
    *(1e300, 5e-324, -0.0, "", "web", "WEB", "1", "ｗｅｂ", 'w"eb', "é", "a\x00", "e", True, False),
    None,
]


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    event.listen(engine, "connect", lambda connection, _: install(connection))
    with engine.begin() as connection:
        schema.create_all(connection)
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        for number, metadata in enumerate(ROWS):
            row = {"id": number, "scope_id": 1, "kind": "message", "created_at": 0, "added_at": 0}
            connection.execute(insert(sources).values(**row, chars=1, metadata=metadata))
            write(connection, {number: metadata})
        yield connection


def require_same(connection: Connection, name: str, op: str, operand: Any) -> None:
    """Compare the rows that a filter finds with those that Python finds."""
    where = {name: {op: operand}}
    python = Matcher()
    encoded = json.dumps(operand)
    expected = {n for n, row in enumerate(ROWS) if python(row, name, op, encoded)}
    for condition in (compile_filter(where), compile_by_value(where, sources.c.id).condition):
        found = set(connection.scalars(select(sources.c.id).where(condition)))
        assert found == expected, [ROWS[n] for n in found ^ expected]


@pytest.mark.parametrize("op", ["eq", "ne", "contains"])
@pytest.mark.parametrize("operand", OPERANDS, ids=repr)
def test_one_value(connection: Connection, op: str, operand: Any) -> None:
    require_same(connection, "k", op, operand)


@pytest.mark.parametrize("op", ["gt", "gte", "lt", "lte"])
@pytest.mark.parametrize(
    "operand", [one for one in OPERANDS if one is not None and not isinstance(one, bool)], ids=repr
)
def test_an_order(connection: Connection, op: str, operand: Any) -> None:
    require_same(connection, "k", op, operand)


@pytest.mark.parametrize("name", ["k", "K", "x", "web", "x.k", "nothing"])
@pytest.mark.parametrize("wanted", [True, False])
def test_whether_it_exists(connection: Connection, name: str, wanted: bool) -> None:
    require_same(connection, name, "exists", wanted)


@given(op=st.sampled_from(["in", "not_in"]), wanted=st.lists(st.sampled_from(OPERANDS), max_size=5))
def test_several_values(connection: Connection, op: str, wanted: list[Any]) -> None:
    if wanted or op == "not_in":
        require_same(connection, "k", op, wanted)


def test_python_is_not_asked_where_metadata_are_plain() -> None:
    asked = []
    engine = create_engine("sqlite://", poolclass=StaticPool)

    def connected(connection: sqlite3.Connection, _: Any) -> None:
        install(connection)
        connection.create_function("agentmem_metadata_matches", 4, lambda *all: asked.append(all))

    event.listen(engine, "connect", connected)
    with engine.begin() as connection:
        schema.create_all(connection)
        for number in range(20):
            metadata = json.dumps(
                {"n": number, "channel": "web", "score": number / 7, "tags": ["b", "a"]}
            ).encode()
            row = {"id": number, "scope_id": 1, "kind": "message", "created_at": 0, "added_at": 0}
            connection.execute(insert(sources).values(**row, chars=1, metadata=metadata))
        for where, count in [
            ({"channel": "web"}, 20),
            ({"channel": {"in": ["web", "mail"]}}, 20),
            ({"n": {"gte": 5, "lt": 8}}, 3),
            ({"n": 7}, 1),
            ({"n": {"ne": 7}}, 19),
            ({"score": {"gt": 1.5}}, 9),
            ({"channel": {"contains": "we"}}, 20),
            ({"tags": {"contains": "a"}}, 20),
            ({"tags": {"contains": "ab"}}, 0),
            ({"nothing": {"exists": False}}, 20),
            ({"not": {"channel": "mail"}}, 20),
        ]:
            query = select(sources.c.id).where(compile_filter(where))
            assert len(connection.scalars(query).all()) == count, where
    assert asked == []
