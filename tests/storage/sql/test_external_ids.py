"""Rows of sources with external ids and times to expire: constraints, indexes, upgrades, kills."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import agentmem_storage
from agentmem_storage.errors import ChangedError, InputError, UnknownIdError
from agentmem_storage.records import NewSource, Page, Scope, Selection
from agentmem_storage.sql.schema import sums
from agentmem_storage.sql.where.selection import selected
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source, terms_of
from agentmem_storage.testing.sources import NOON
from tests.support.older import make_older

ANA = Scope("ana")
HOUR = timedelta(hours=1)


def open_store(place: Path | str, clock: Callable[[], datetime] | None = None) -> Store:
    more: dict[str, Any] = {} if clock is None else {"clock": clock}
    return Store.open(place, model=MODEL, embedding_dims=EMBEDDING_DIMS, index="exact", **more)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(place: Path) -> Iterator[Store]:
    with open_store(place, lambda: NOON) as store:
        yield store


def named(text: str, id: str = "x", **fields: Any) -> NewSource:
    return make_source(text, external_id=id, identity="id", timed=False, **fields)


def problems(store: Store) -> list[str]:
    return [problem.what for problem in store.check()]


# Replacing


def test_replaced_in_one_transaction_with_what_is_new(store: Store) -> None:
    first = named("the first text")
    (old,) = store.add([first], ANA)
    (found,) = store.find([named("the second text").key], ANA)
    assert found is not None
    assert (found.source_id, found.chunk_ids, found.duplicate, found.replaced) == (
        *(old.source_id, old.chunk_ids),
        *(False, True),
    )
    new, other = store.add(
        [named("the second text"), make_source("another")], ANA, terms_of(old, first)
    )
    assert (new.source_id, new.replaced, new.duplicate) == (old.source_id, True, False)
    assert len({*old.chunk_ids, *new.chunk_ids, *other.chunk_ids}) == 3
    assert store.ids().tolist() == sorted([*new.chunk_ids, *other.chunk_ids])
    assert not store.terms_stale
    assert store.search_terms("first", 5).ids.size == 0
    assert store.search_terms("second", 5).ids.tolist() == [*new.chunk_ids]
    assert store.became(old.chunk_ids[0], ANA) == new.chunk_ids
    assert problems(store) == []


def test_not_without_the_words_of_what_is_there(store: Store) -> None:
    (old,) = store.add([named("the first text")], ANA)
    for given in ({}, {old.chunk_ids[0] + 1: "other"}):
        with pytest.raises(ChangedError):
            store.add([make_source("before"), named("the second text")], ANA, given)
    with pytest.raises(ChangedError):
        store.add([named("the second text").key], ANA, terms_of(old, named("the first text")))
    assert store.ids().tolist() == [*old.chunk_ids]
    # Words that are lost cost a rebuild of the lexical index.
    store.add([named("the second text")], ANA, dict.fromkeys(old.chunk_ids))
    assert store.terms_stale


def test_no_id_twice_in_one_call(store: Store) -> None:
    with pytest.raises(InputError, match="one external id"):
        store.add([named("one"), named("two")], ANA)
    assert store.count() == 0
    with closing(sqlite3.connect(store.location + "/memory.db")) as connection:
        store.add([named("one")], ANA)
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(
                "INSERT INTO sources (scope_id, kind, created_at, added_at, chars, external_id)"
                " SELECT scope_id, kind, 0, 0, 0, external_id FROM sources"
            )


def test_ids_are_resolved_in_a_scope(store: Store) -> None:
    store.add([named("one")], ANA)
    store.add([named("two")], Scope("ana", "x"))
    store.add([named("three", "y")], Scope("bo"))
    assert store.source_named("y") == 3
    assert store.source_named("x", Scope(agent_id="x")) == 2
    with pytest.raises(InputError, match="several scopes"):
        store.source_named("x", ANA)
    with pytest.raises(UnknownIdError, match="'y'"):
        store.source_named("y", ANA)
    assert store.ids(Selection(external_ids=("x", "y"))).tolist() == [1, 2, 3]
    assert store.ids(Selection(ANA, external_ids=("y",))).tolist() == []
    with pytest.raises(UnknownIdError):
        store.chosen(Selection(ANA, external_ids=("y",)))


def test_indexes_find_ids_and_what_has_expired(store: Store) -> None:
    store.add([named(f"text {n}", f"{n}", expires_at=NOON + HOUR) for n in range(20)], ANA)
    queries = [
        selected(Selection(external_ids=("3",)), now=None),
        selected(Selection(where={"external_id": "3"}), now=None),
        selected(Selection(where={"external_id": {"in": ["3", "4"]}}), now=None),
        selected(Selection(expired=True), now=0),
    ]
    with store._database.read() as connection:
        for query in queries:
            compiled = query.compile(connection, compile_kwargs={"render_postcompile": True})
            values = tuple(compiled.params[name] for name in compiled.positiontup or ())
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values).all()
            steps = [row[3] for row in plan]
            assert any(
                re.search(r"sources USING .*INDEX sources_(by_external_id|expiring)", one)
                for one in steps
            ), steps
            assert not any(re.match(r"SCAN (chunks|sources)\b", one) for one in steps), steps


# Expiring


def test_a_snapshot_has_one_time(place: Path) -> None:
    now = [NOON]
    with open_store(place, lambda: now[0]) as store:
        store.add([make_source("one", expires_at=NOON + HOUR), make_source("two")], ANA)

        def read(snapshot: Any) -> list[int]:
            before = snapshot.count()
            now[0] += 2 * HOUR
            return [before, snapshot.count(), len(snapshot.ids(Selection(ANA)))]

        assert store.snapshot(read) == [2, 2, 2]
        assert store.count() == 1
        assert store.ids(Selection(expired=True)).tolist() == [1]
        assert store.ids(Selection(expired=None)).tolist() == [1, 2]
        assert [one.id for part in store.iterate(page=Page()) for one in part] == [2]
        assert [one.id for part in store.iterate() for one in part] == [2]
        assert store.sums().chunks == store.stats().sources == 1
        assert store.scopes()[0].chunks == 1
        assert store.neighbors([2]).sides == {2: ((), ())}
        assert store.episodes([2]) == {2: (2,)}
        assert problems(store) == []


def test_a_new_time_needs_no_rewrite_of_the_file(store: Store) -> None:
    store.add([make_source("one")], ANA)
    assert store.update_source(1, expires_at=NOON + HOUR).expires_at == NOON + HOUR
    assert store._flag("unpurged") == 0
    assert store.update_source(1, expires_at=None).expires_at is None
    assert problems(store) == []


# Older stores


def test_an_older_store_has_neither_and_takes_both(place: Path) -> None:
    """As it was before the step: its checksums are of fewer groups, and stay as they are."""
    with open_store(place) as store:
        store.add([make_source(f"old {n}", metadata={"n": n}) for n in range(3)], ANA)
    make_older(place / "memory.db", "0011_external_ids")
    with closing(sqlite3.connect(place / "memory.db")) as connection, connection:
        # The checksums of the groups there were.
        connection.execute("UPDATE sources SET sums = substr(sums, 1, 24)")
        # Damage from before the upgrade is found after it.
        connection.execute("UPDATE sources SET role = 'x' WHERE id = 2")
    with open_store(place, lambda: NOON) as store:
        assert problems(store) == [
            f"source 2 is not as it was written: {sums.NAMES[0]} was altered"
        ]
        one, two, three = store.sources([1, 2, 3])
        assert one.external_id is two.external_id is three.expires_at is None
        assert store.add([make_source("old 0", metadata={"n": 0})], ANA)[0].duplicate
        store.update_source(3, expires_at=NOON + HOUR)
        store.add([named("new")], ANA)
        assert len(problems(store)) == 1
        assert store.sources([3])[0].expires_at == NOON + HOUR
    with closing(sqlite3.connect(place / "memory.db")) as connection, connection:
        connection.execute("UPDATE sources SET external_id = 'y' WHERE id = 1")
    with open_store(place, lambda: NOON) as store:
        assert f"source 1 is not as it was written: {sums.NAMES[-1]} was altered" in problems(store)


# Killed


PUT_FOR_EVER = """
import sys
from agentmem_storage.records import Scope
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source, terms_of

store = Store.open(sys.argv[1], model=MODEL, embedding_dims=EMBEDDING_DIMS, index="exact")
held = {}
number = 0
while True:
    number += 1
    new = [
        make_source(f"text {number} of {id}", external_id=id, identity="id", timed=False)
        for id in ("a", "b", "c")
    ]
    words = {}
    for one in new:
        if one.external_id in held:
            words |= terms_of(*held[one.external_id])
    done = store.add(new, Scope("ana"), words)
    held = {one.external_id: (written, one) for one, written in zip(new, done)}
    print(number, flush=True)
"""


@pytest.mark.parametrize("turns", [1, 2, 4])
def test_a_kill_leaves_the_old_or_the_new(place: Path, turns: int) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", PUT_FOR_EVER, str(place)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(agentmem_storage.__file__).parents[1])},
    )
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(turns)][-1]
    os.kill(writer.pid, signal.SIGKILL)
    rest = writer.stdout.read().split()
    writer.wait()
    writer.stdout.close()
    acknowledged = int(rest[-1]) if rest and rest[-1].isdigit() else acknowledged
    with open_store(place) as store:
        records = store.sources([1, 2, 3])
        assert [one.external_id for one in records] == ["a", "b", "c"]
        # All of one call, or all of the next one, which was not acknowledged.
        expected = {
            number: [
                make_source(f"text {number} of {id}", external_id=id).content_hash for id in "abc"
            ]
            for number in (acknowledged, acknowledged + 1)
        }
        assert [one.content_hash for one in records] in expected.values()
        assert store.count() == 3
        assert problems(store) == []


def test_what_is_kept_of_a_source_that_was_changed(store: Store) -> None:
    first = named("the first text")
    (old,) = store.add([first], ANA)
    second = replace(named("the second text"), external_id="x")
    store.add([second], ANA, terms_of(old, first))
    (record,) = store.sources([1])
    assert not record.changed
    assert record.content_hash == second.content_hash
