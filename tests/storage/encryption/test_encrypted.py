"""Encrypted stores: what is on the disk, and what other processes see."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

import agentmem_storage
from agentmem_storage.encryption.ring import KeyRing
from agentmem_storage.errors import (
    StoreError,
)
from agentmem_storage.records import ModelBinding, Scope, Selection
from agentmem_storage.sql.connection.identity import prepare
from agentmem_storage.sql.connection.migrations import STEPS
from agentmem_storage.sql.schema.tables import migrations
from agentmem_storage.sql.sealed import mirror, mirrored
from agentmem_storage.sql.sealed.encrypted import EncryptedDatabase
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_embedding, make_source
from tests.support.encrypted import (
    ANA,
    BEN,
    KEY,
    SAID,
    TRACES,
    open_store,
    source,
    source_ids,
    tables,
    traces_in,
)
from tests.support.examples import HALF

# --- what is on the disk


def test_nothing_that_was_said_is_in_any_file(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        store.add([source()], ANA)
        (written,) = store.add([source("Zanzibar once more, seventeen times")], BEN)
        store.search_terms("zanzibar", 3)
        store.search_vectors(make_embedding("Zanzibar"), 3)
        store.update_source(1, metadata={"carriage-number": "dining-car-ten"})
        assert traces_in(tmp_path) == set()
        # They would be found: the tables have most of them.
        (tmp_path / "tables").mkdir()
        (tmp_path / "tables" / "dump").write_text(str(tables(store)))
        assert len(traces_in(tmp_path)) >= len(TRACES) - 1
        shutil.rmtree(tmp_path / "tables")
        assert store.sources([written.source_id])[0].name == SAID["name"]
    assert traces_in(tmp_path) == set()
    assert sorted(file.name for file in (tmp_path / "s").iterdir()) == ["encrypted.db", "keys.db"]


def test_equal_contents_have_nothing_in_common(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        store.add([source(external_id=None)], ANA)
        store.add([source(external_id=None)], BEN)
    with closing(sqlite3.connect(tmp_path / "s" / "encrypted.db")) as connection:
        rows = connection.execute("SELECT content FROM rows WHERE kind = 'sources'").fetchall()
        schema = str(connection.execute("SELECT sql FROM sqlite_master").fetchall())
    (one,), (other,) = rows
    shared = {one[at : at + 4] for at in range(len(one))} & {
        other[at : at + 4] for at in range(len(other))
    }
    assert shared == set()
    assert "hash" not in schema


def test_only_its_owner_can_read_the_files(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with open_store(tmp_path / "s"):
            modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "s").iterdir()}
            folder = (tmp_path / "s").stat().st_mode & 0o777
    finally:
        os.umask(before)
    assert modes == {"encrypted.db": 0o600, "keys.db": 0o600}
    assert folder == 0o700


# --- the tables and the file


def test_every_table_is_kept_or_derived(tmp_path: Path) -> None:
    # A new table must say whose key seals its rows: see
    # `agentmem_storage.sql.sealed.mirrored.SCOPES`.
    with open_store(tmp_path / "s") as store, store._database.read() as connection:
        own = mirror.driver_connection(connection)
        names = {
            name
            for (name,) in own.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if not name.startswith(("sqlite_", "chunk_terms_"))
        }
        assert names | {"indexed_texts"} == {*mirrored.SCOPES, *mirrored.DERIVED}
        for name in mirrored.SCOPES:
            own.execute(f"SELECT rowid FROM {name}")  # has ids


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["add", "forget", "update", "link", "replace", "shred", "rebuild", "embed"]
        ),
        st.integers(0, 3),
        st.integers(0, 20),
    ),
    min_size=1,
    max_size=12,
)


@HALF
@given(operations=OPERATIONS)
def test_others_have_the_same_tables_whatever_is_done(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("mirror") / "s"
    with open_store(folder) as store, open_store(folder) as beside:
        texts: dict[int, str] = {}
        for name, scope, number in operations:
            apply(store, texts, name, Scope(f"user {scope}"), number)
        mine = tables(store)
        assert tables(beside) == mine
        assert list(beside.check()) == []
        with open_store(folder) as later:  # which may have erased something
            assert tables(later) == tables(store)


def apply(store: Store, texts: dict[int, str], name: str, scope: Scope, number: int) -> None:
    """Do something to a store; ``texts`` are those of its chunks."""
    ids = sorted(texts)
    one = ids[number % len(ids)] if ids else None
    if name == "add" or one is None:
        text = f"words {number} of {scope.user_id}"
        (written,) = store.add([make_source(text, metadata={"n": number})], scope)
        texts.update(dict.fromkeys(written.chunk_ids, text))
        return
    source_id = store.chunks([one])[0].source_id
    if name == "forget":
        store.forget([one], {one: texts.pop(one)})
    elif name == "update":
        store.update_source(source_id, metadata={"n": -number})
    elif name == "replace":
        text = f"other words {number}"
        written = store.replace_source(source_id, make_source(text), {one: texts[one]})
        if not written.duplicate:
            del texts[one]
            texts.update(dict.fromkeys(written.chunk_ids, text))
    elif name == "link":
        sources = source_ids(store, Selection(scope))
        if len(sources) > 1:
            store.propose([(sources[0], sources[-1], 0.5)])
    elif name == "shred":
        chosen = store.ids(Selection(scope)).tolist()
        store.forget(chosen, {id: texts.pop(id) for id in chosen})
    elif name == "rebuild":
        store.rebuild_terms(texts.items())
    elif name == "embed":
        store.replace_embeddings({one: make_embedding(f"another {number}")})


def test_an_older_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    database = EncryptedDatabase.open_with_key(tmp_path / "s", KEY, create=True, timeout_s=9.0)
    with database.write() as connection:
        for step in STEPS[:-1]:
            step.apply(connection)
            connection.execute(insert(migrations).values(name=step.name))
        connection.exec_driver_sql(
            "INSERT INTO meta (id, store_id, model, key_dims, created_at) VALUES (1, 'x', ?, ?, 0)",
            (MODEL, EMBEDDING_DIMS),
        )
        connection.exec_driver_sql("INSERT INTO scopes (user_id) VALUES ('ana@example.org')")
    beside = EncryptedDatabase.open_with_key(tmp_path / "s", KEY, create=False, timeout_s=9.0)
    prepare(database, ModelBinding(MODEL, EMBEDDING_DIMS, None))
    with pytest.raises(StoreError, match="close it and open it again"), beside.read():
        pass
    beside.close()
    database.close()
    with open_store(tmp_path / "s") as store:
        store.add([source()], ANA)
        assert list(store.check()) == []
    with open_store(tmp_path / "s") as store:
        assert store.count(Selection(ANA)) == 1
        assert store.store_id == "x"


def test_a_store_whose_creator_died_is_made(tmp_path: Path) -> None:
    (tmp_path / "ring").mkdir()
    KeyRing.make(tmp_path / "ring" / "keys.db", "s", KEY, 1.0)
    (tmp_path / "empty").mkdir()
    KeyRing.make(tmp_path / "empty" / "keys.db", "s", KEY, 1.0)
    (tmp_path / "empty" / "encrypted.db").touch()
    # One that died in the commit: what it wrote is rolled back.
    with open_store(tmp_path / "half"):
        pass
    begun = sqlite3.connect(tmp_path / "half" / "encrypted.db", isolation_level=None)
    with closing(begun):
        begun.execute("BEGIN")
        query = "SELECT name FROM sqlite_master WHERE type = 'table'"
        for (name,) in begun.execute(query).fetchall():
            begun.execute(f"DROP TABLE {name}")
        begun.execute("COMMIT")
    for name in ("ring", "empty", "half"):
        with open_store(tmp_path / name) as store:
            store.add([source()], ANA)
        with open_store(tmp_path / name) as store:
            assert store.count() == 1


def test_who_has_missed_too_much_reads_all_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentmem_storage.encryption.transactions.LISTED", 3)
    with open_store(tmp_path / "s") as store, open_store(tmp_path / "s") as beside:
        store.add([make_source(f"words {n}") for n in range(12)], ANA)
        assert beside.count() == 12
        for n in range(10):
            store.forget([n + 1], {n + 1: f"words {n}"})
        assert beside.ids().tolist() == [11, 12]
        assert tables(beside) == tables(store)


# --- other processes

ENVIRONMENT = {"PYTHONPATH": str(Path(agentmem_storage.__file__).parents[1])}
ADD_UNTIL_KILLED = """
import sys
from agentmem_storage.records import Scope
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source

store = Store.open(sys.argv[1], model=MODEL, embedding_dims=EMBEDDING_DIMS, index="exact",
                   key=bytes(range(32)), timeout_s=240.0)
for number in range(10**6):
    (written,) = store.add([make_source(f"memory {number} of " + sys.argv[2])],
                           Scope(f"{sys.argv[2]} {number % 3}"))
    print(written.source_id, flush=True)
    if number % 3 == 2:
        store.forget(written.chunk_ids, {written.chunk_ids[0]: f"memory {number} of {sys.argv[2]}"})
        print(-written.source_id, flush=True)
"""


def writer(folder: Path, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", ADD_UNTIL_KILLED, str(folder), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)


def acknowledged(child: subprocess.Popen[str], count: int) -> Iterator[int]:
    assert child.stdout is not None
    for line in child.stdout:
        yield int(line)
        if (count := count - 1) == 0:
            child.send_signal(signal.SIGKILL)


def test_two_processes_that_are_killed_lose_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        children = [writer(tmp_path / "s", name) for name in ("one", "two")]
        being_forgotten: set[int] = set()
        added, gone = set[int](), set[int]()
        for child, count in zip(children, (5, 8), strict=True):
            with child:
                seen = list(acknowledged(child, count))
            added |= {id for id in seen if id > 0}
            gone |= {-id for id in seen if id < 0}
            # A child may be killed when it has forgotten its last source and not yet said so.
            being_forgotten.add(max(seen))
        there = set(source_ids(store))
        assert added - gone <= there | being_forgotten
        assert not there & gone
        assert list(store.check()) == []
        # A child killed between forgetting and purging leaves that to whoever opens the store next.
        assert store.purge()
        mine = tables(store)
    with open_store(tmp_path / "s") as store:
        assert tables(store) == mine


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_goes_on_with_a_connection_of_its_own(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        store.add([source("before")], ANA)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                store.add([source("in the child", external_id="2")], ANA)
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        store.add([source("after", external_id="3")], ANA)
        assert store.count() == 3
        assert list(store.check()) == []
