"""The values that filters look up: written, changed, erased and rebuilt with their sources."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agentmem_storage.records import Scope, Selection
from agentmem_storage.sql.where.metadata_values import (
    FALSE,
    NULL,
    NUMBER,
    ODD,
    TEXT,
    TRUE,
    values_of,
)
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source
from tests.support.older import make_older

ANA, BEN = Scope("ana"), Scope("ben")


def opened(folder: Path) -> Store:
    return Store.open(folder, model=MODEL, embedding_dims=EMBEDDING_DIMS)


def rows(folder: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "memory.db")) as connection:
        query = "SELECT source_id, name, kind, value FROM metadata_values"
        return sorted(connection.execute(query).fetchall(), key=repr)


def found(store: Store, **where: Any) -> list[int]:
    return selected(store, Selection(where=where))


def selected(store: Store, selection: Selection) -> list[int]:
    found: list[int] = store.snapshot(lambda snapshot: snapshot.ids(selection).tolist())
    return found


@pytest.mark.parametrize(
    ("metadata", "values"),
    [
        (None, {}),
        (b"{}", {}),
        (
            b'{"a": null, "b": true, "c": false}',
            {"a": (NULL, None), "b": (TRUE, None), "c": (FALSE, None)},
        ),
        (b'{"a": 1, "b": -2.5}', {"a": (NUMBER, 1), "b": (NUMBER, -2.5)}),
        (b'{"a": 9007199254740992}', {"a": (NUMBER, 2**53)}),
        (b'{"a": 9007199254740993}', {"a": (ODD, None)}),
        (b'{"a": [1], "b": {"c": 1}}', {"a": (ODD, None), "b": (ODD, None)}),
        (b'{"a": 1e400, "b": NaN}', {"a": (ODD, None), "b": (ODD, None)}),
        ('{"ａ": "ｗｅｂ"}'.encode(), {"a": (TEXT, "web")}),
        ('{"ａ": 1, "a": 2}'.encode(), {"a": (ODD, None)}),
        (b'{"a": "' + b"x" * 201 + b'"}', {"a": (ODD, None)}),
        (b'{"a": "\\u0000", "b": "\\ud800", "\\ud800": 1}', {"a": (ODD, None), "b": (ODD, None)}),
        (b'{"a": 1', {}),
        (b"[1]", {}),
        (b"\xff", {}),
        (5, {}),
        (b"[" * 2000, {}),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_kept_of_metadata(metadata: bytes | None, values: dict[str, Any]) -> None:
    assert values_of(metadata) == values


def test_they_follow_their_source(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        one, two = store.add(
            [make_source("one", metadata={"n": 1, "tags": ["x"]}), make_source("two")], ANA
        )
        assert rows(tmp_path) == [
            (one.source_id, "n", NUMBER, 1),
            (one.source_id, "tags", ODD, None),
        ]
        assert found(store, n=1) == list(one.chunk_ids)
        store.update_source(one.source_id, metadata={"n": "1"})
        store.update_source(two.source_id, metadata={"n": 2})
        store.update_source(two.source_id, title="a title")
        assert rows(tmp_path) == [(one.source_id, "n", TEXT, "1"), (two.source_id, "n", NUMBER, 2)]
        assert (found(store, n=1), found(store, n=2)) == ([], list(two.chunk_ids))
        changed = store.replace_source(
            two.source_id, make_source("three", metadata={"n": 3}), {two.chunk_ids[0]: "two"}
        )
        assert (found(store, n=2), found(store, n=3)) == ([], list(changed.chunk_ids))
        assert list(store.check()) == []


def test_a_duplicate_writes_none(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        first, again = (store.add([make_source("one", metadata={"n": 1})], ANA) for _ in range(2))
        assert again[0].duplicate
        assert rows(tmp_path) == [(first[0].source_id, "n", NUMBER, 1)]


def test_forgetting_leaves_no_byte_of_them(tmp_path: Path) -> None:
    secrets = [b"zebrakey", b"zebravalue", b"okapikey"]
    with opened(tmp_path) as store:
        gone, kept = store.add(
            [
                make_source("one", metadata={"zebrakey": "zebravalue", "okapikey": [1]}),
                make_source("two", metadata={"n": 2}),
            ],
            ANA,
        )
        changed = store.add([make_source("three", metadata={"zebrakey": "zebravalue"})], BEN)[0]
        files = [file for file in tmp_path.rglob("*") if file.is_file()]
        assert any(secrets[0] in file.read_bytes() for file in files)
        store.update_source(changed.source_id, metadata={"n": 3})
        assert store.forget(gone.chunk_ids, {gone.chunk_ids[0]: "one"}).purged
        assert rows(tmp_path) == [
            (kept.source_id, "n", NUMBER, 2),
            (changed.source_id, "n", NUMBER, 3),
        ]
        left = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert [secret for secret in secrets if secret in left] == []


def test_a_source_that_keeps_a_chunk_keeps_them(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        (one,) = store.add([make_source("one.two.", chunk_chars=4, metadata={"n": 1})], ANA)
        first, second = one.chunk_ids
        store.forget([first], {first: "one."})
        assert found(store, n=1) == [second]
        store.forget([second], {second: "two."})
        assert rows(tmp_path) == []


def test_an_older_store_gets_them(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        written = store.add([make_source(f"{n}", metadata={"n": n}) for n in range(5)], ANA)
    before = rows(tmp_path)
    assert len(before) == 5
    with closing(sqlite3.connect(tmp_path / "memory.db")) as connection, connection:
        connection.execute("UPDATE sources SET metadata = x'7B' WHERE id = 2")  # damaged
    make_older(tmp_path / "memory.db", "0010_metadata_values")
    with opened(tmp_path) as store:
        assert rows(tmp_path) == [row for row in before if row[0] != 2]
        assert found(store, n={"gte": 3}) == [one.chunk_ids[0] for one in written[3:]]


def test_what_does_not_fit_the_metadata_is_reported_and_rebuilt(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        one, two = store.add([make_source(f"{n}", metadata={"n": n}) for n in (1, 2)], ANA)
    with closing(sqlite3.connect(tmp_path / "memory.db")) as connection, connection:
        connection.execute("UPDATE metadata_values SET value = 7 WHERE source_id = 2")
        connection.execute("INSERT INTO metadata_values VALUES (99, 'n', 4, 7)")  # of no source
    with opened(tmp_path) as store:
        (problem,) = store.check()
        assert problem.chunk_id == two.chunk_ids[0]
        assert "filters see other metadata of source 2" in problem.what
        store.rebuild_terms({one.chunk_ids[0]: "1", two.chunk_ids[0]: "2"}.items())
        assert list(store.check()) == []
        assert found(store, n=2) == list(two.chunk_ids)
    assert {row[0] for row in rows(tmp_path)} == {one.source_id, two.source_id}


@pytest.mark.parametrize("metadata", [b'{"n":7}', b"{", "text", 3], ids=repr)
def test_altered_metadata_are_one_problem_and_can_be_indexed(tmp_path: Path, metadata: Any) -> None:
    """The values are as they were: not they are damaged, and they hide no other source."""
    with opened(tmp_path) as store:
        one, two = store.add([make_source(f"{n}", metadata={"n": n}) for n in (1, 2)], ANA)
    with closing(sqlite3.connect(tmp_path / "memory.db")) as connection, connection:
        connection.execute("UPDATE sources SET metadata = ? WHERE id = 2", (metadata,))
        connection.execute("UPDATE metadata_values SET value = 5 WHERE source_id = 1")
    with opened(tmp_path) as store:
        by_source: dict[int | None, list[str]] = {id: [] for id in (*one.chunk_ids, *two.chunk_ids)}
        for problem in store.check():
            by_source[problem.chunk_id].append(problem.what)
        assert ["filters see" in what for what in by_source[one.chunk_ids[0]]] == [True]
        assert ["filters see" in what for what in by_source[two.chunk_ids[0]]] == [False]
        store.rebuild_terms({one.chunk_ids[0]: "1", two.chunk_ids[0]: "2"}.items())
        assert rows(tmp_path)[0] == (one.source_id, "n", NUMBER, 1)


def test_altered_metadata_that_are_then_said_are_right(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        (one,) = store.add([make_source("1", metadata={"n": 1})], ANA)
    with closing(sqlite3.connect(tmp_path / "memory.db")) as connection, connection:
        altered = connection.execute("SELECT replace(metadata, '1', '7') FROM sources").fetchone()
        connection.execute("UPDATE sources SET metadata = CAST(? AS BLOB)", altered)
    with opened(tmp_path) as store:
        assert len(list(store.check())) == 1
        store.update_source(one.source_id, metadata={"n": 7})
        assert list(store.check()) == []
        assert found(store, n=7) == list(one.chunk_ids)


def test_a_memory_that_has_lost_its_source_can_be_forgotten(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        one, two = store.add([make_source(f"{n}", metadata={"n": n}) for n in (1, 2)], ANA)
    with closing(sqlite3.connect(tmp_path / "memory.db")) as connection, connection:
        connection.execute("UPDATE chunks SET source_id = 'none' WHERE source_id = 1")
    with opened(tmp_path) as store:
        store.forget(one.chunk_ids, {one.chunk_ids[0]: "1"})
        assert found(store, n=2) == list(two.chunk_ids)


def test_large_and_small_scopes_give_the_same(tmp_path: Path) -> None:
    """A small part of the store is filtered row by row, a large one by the index."""
    where = {"n": {"gte": 3, "lt": 30}, "not": {"n": {"in": [4, 5.0]}}}
    with opened(tmp_path) as store:
        for scope, count in ((ANA, 40), (BEN, 7)):
            store.add([make_source(f"{n}", metadata={"n": n}) for n in range(count)], scope)
        assert len(selected(store, Selection(where=where))) == 27
        assert len(selected(store, Selection(ANA, where=where))) == 25
        assert len(selected(store, Selection(BEN, where=where))) == 2
        assert store.count(Selection(ANA, where=where)) == 25
