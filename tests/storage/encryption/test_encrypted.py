"""Encrypted stores: what is on the disk, what keys open, and what other processes see."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

import agentmem_storage
from agentmem_storage.encryption.ring import KeyRing
from agentmem_storage.encryption.sealing import RowSeal, pack, unpack
from agentmem_storage.errors import (
    CorruptRecordError,
    InputError,
    KeyRequiredError,
    KeyRingError,
    NotAStoreError,
    SchemaVersionError,
    StoreError,
    StoreKeyError,
    StoreNotFoundError,
    WrongKeyError,
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
    TEXT,
    TRACES,
    edit,
    held,
    keys_of,
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


# --- keys


def test_a_key_file_and_a_function_open_the_store(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY)
    with open_store(tmp_path / "s", tmp_path / "key") as store:
        store.add([source()], ANA)
    for key in (str(tmp_path / "key"), lambda: KEY, KEY):
        with open_store(tmp_path / "s", key) as store:
            assert store.count() == 1
    assert Store.binding(tmp_path / "s", key=KEY).model == MODEL


def test_without_its_key_a_store_stays_closed_and_as_it_was(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        store.add([source()], ANA)
    before = (tmp_path / "s" / "encrypted.db").read_bytes()
    with pytest.raises(KeyRequiredError, match=r"is encrypted.*--key-file"):
        open_store(tmp_path / "s", None)
    with pytest.raises(KeyRequiredError):
        Store.binding(tmp_path / "s")
    with pytest.raises(WrongKeyError, match="is not the one"):
        open_store(tmp_path / "s", bytes(32))
    assert (tmp_path / "s" / "encrypted.db").read_bytes() == before
    with open_store(tmp_path / "s") as store:
        assert store.count() == 1


@pytest.mark.parametrize(
    ("key", "error", "match"),
    [
        (b"hush-hush-now", StoreKeyError, "has 13 bytes, and a key has 32"),
        (bytes(33), StoreKeyError, "more than 32"),
        ("c2VjcmV0LXNlY3JldA==", StoreKeyError, "cannot be read as a key file"),
        (lambda: bytes(3), StoreKeyError, "returned has 3 bytes"),
        (lambda: "hush-hush-now", TypeError, "must return bytes, not str"),
        (32, TypeError, "not int"),
    ],
)
def test_what_is_no_key_is_refused_and_in_no_message(
    tmp_path: Path, key: Any, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match) as raised:
        open_store(tmp_path / "s", key)
    assert "hush" not in str(raised.value)
    assert "c2VjcmV0" not in str(raised.value)
    assert not (tmp_path / "s" / "keys.db").exists()


def test_a_key_file_may_not_be_in_the_folder_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    with open_store(tmp_path / "s") as store:
        store.add([source()], ANA)
    (tmp_path / "s" / "key").write_bytes(KEY)
    with pytest.raises(InputError, match="inside the folder of the store"):
        open_store(tmp_path / "s", tmp_path / "s" / "key")


def test_stores_of_one_kind_are_not_opened_as_the_other(tmp_path: Path) -> None:
    with open_store(tmp_path / "plain", None):
        pass
    with pytest.raises(InputError, match="is not encrypted.*export"):
        open_store(tmp_path / "plain")
    for place in (":memory:", f"sqlite:///{tmp_path}/x.db"):
        with pytest.raises(InputError, match="is in a folder"):
            Store.open(place, model=MODEL, embedding_dims=EMBEDDING_DIMS, key=KEY)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(NotAStoreError, match="contains other files"):
        open_store(tmp_path / "other")
    with pytest.raises(StoreNotFoundError):
        open_store(tmp_path / "none", create=False)


def _cut(ring: Path) -> None:
    ring.write_bytes(ring.read_bytes()[:5000])


def _empty(ring: Path) -> None:
    ring.write_bytes(b"")


def _overwrite(ring: Path) -> None:
    ring.write_bytes(b"x" * 16384)


def _spoil(ring: Path) -> None:
    with closing(sqlite3.connect(ring)) as connection, connection:
        connection.execute("UPDATE keys SET wrapped = zeroblob(60) WHERE id = 2")


def _drop(ring: Path) -> None:
    with closing(sqlite3.connect(ring)) as connection, connection:
        connection.execute("DELETE FROM keys WHERE id = 2")


@pytest.mark.parametrize("damage", [Path.unlink, _cut, _empty, _overwrite, _spoil, _drop])
def test_a_damaged_key_ring_is_refused_and_one_put_back_opens(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    with open_store(tmp_path / "s") as store:
        store.add([source()], ANA)
    ring = tmp_path / "s" / "keys.db"
    kept = ring.read_bytes()
    damage(ring)
    with pytest.raises(KeyRingError, match=r"keys\.db"):
        open_store(tmp_path / "s")
    ring.write_bytes(kept)
    with open_store(tmp_path / "s") as store:
        assert store.count() == 1
        assert list(store.check()) == []


def test_the_ring_of_another_store_is_told_from_the_own(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with open_store(tmp_path / name) as store:
            store.add([source()], ANA)
    shutil.copy(tmp_path / "b" / "keys.db", tmp_path / "a" / "keys.db")
    with pytest.raises(KeyRingError, match="of another store"):
        open_store(tmp_path / "a")


def test_an_older_ring_is_told_from_a_shredded_one(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        store.add([source()], ANA)
        older = (tmp_path / "s" / "keys.db").read_bytes()
        store.add([source()], BEN)
    newer = (tmp_path / "s" / "keys.db").read_bytes()
    (tmp_path / "s" / "keys.db").write_bytes(older)
    with pytest.raises(KeyRingError, match="older copy"):
        open_store(tmp_path / "s")
    (tmp_path / "s" / "keys.db").write_bytes(newer)
    with open_store(tmp_path / "s") as store:
        assert store.count() == 2


def test_a_ring_that_is_gone_is_noticed_before_anything_is_acknowledged(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        store.add([source()], ANA)
        (tmp_path / "s" / "keys.db").rename(tmp_path / "elsewhere")
        with pytest.raises(KeyRingError, match="missing"):
            store.add([source()], BEN)
        (tmp_path / "elsewhere").rename(tmp_path / "s" / "keys.db")
        assert store.count() == 1
        store.add([source()], BEN)
        assert store.count() == 2


# --- shredding


def test_forgetting_a_scope_destroys_its_key_in_every_copy(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        store.add([source(), source("Zanzibar again", external_id="2")], ANA)
        store.add([source()], BEN)
        store.backup(tmp_path / "backup")
        assert [file.name for file in (tmp_path / "backup").iterdir()] == ["encrypted.db"]
        texts = {1: TEXT, 2: "Zanzibar again"}
        done = store.forget(Selection(ANA), texts)
        assert (done.chunks, done.purged) == (2, True)
        assert list(store.check()) == []
    with pytest.raises(KeyRingError, match="missing"):
        open_store(tmp_path / "backup")
    shutil.copy(tmp_path / "s" / "keys.db", tmp_path / "backup" / "keys.db")
    assert held(tmp_path / "backup", "chunks") == [1, 2, 3]
    with open_store(tmp_path / "backup") as restored:
        assert [one.scope for one in restored.sources(source_ids(restored))] == [BEN]
        assert list(restored.check()) == []
        assert held(tmp_path / "backup", "chunks") == [3]
        restored.add([source("new")], ANA)
        assert list(restored.check()) == []
    assert held(tmp_path / "backup", "chunks") == [3, 4]


def test_a_copy_with_its_keys_keeps_what_is_forgotten_elsewhere(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        store.add([source()], ANA)
        store.backup(tmp_path / "copy", keys=True)
        store.forget([1], {1: TEXT})
    with open_store(tmp_path / "copy") as copy:
        assert copy.count() == 1


def test_a_key_stays_as_long_as_its_scope_has_anything(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        store.add([source(), source("other", external_id="2")], ANA)
        store.forget([1], {1: TEXT})
        assert keys_of(tmp_path / "s") == [True, True]
        store.forget([2], {2: "other"})
        assert keys_of(tmp_path / "s") == [True, False]


def test_a_key_is_destroyed_later_if_a_process_died_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise SystemExit

    with open_store(tmp_path / "s") as store:
        store.add([source()], ANA)
        with monkeypatch.context() as patched:
            patched.setattr(KeyRing, "destroy", die)
            with pytest.raises(SystemExit):
                store.forget([1], {1: TEXT})
    assert keys_of(tmp_path / "s") == [True, True]
    with open_store(tmp_path / "s") as store:
        assert store.count() == 0
    assert keys_of(tmp_path / "s") == [True, False]


def test_a_key_is_destroyed_later_if_the_ring_was_gone(tmp_path: Path) -> None:
    ring = tmp_path / "s" / "keys.db"
    with open_store(tmp_path / "s") as store:
        store.add([source()], ANA)
        ring.rename(tmp_path / "elsewhere")
        assert not store.forget([1], {1: TEXT}).purged
        (tmp_path / "elsewhere").rename(ring)
    with open_store(tmp_path / "s") as store:
        assert store.count() == 0
    assert keys_of(tmp_path / "s") == [True, False]


def test_an_older_ring_put_back_while_the_store_is_open_gives_no_id_again(tmp_path: Path) -> None:
    ring = tmp_path / "s" / "keys.db"
    with open_store(tmp_path / "s") as store:
        store.add([source()], ANA)
        older = ring.read_bytes()
        store.add([source()], BEN)
        newest = ring.read_bytes()
        ring.unlink()
        assert not store.forget(Selection(BEN), {2: TEXT}).purged
        ring.write_bytes(older)
        with pytest.raises(KeyRingError, match="older copy"):
            store.add([source("acknowledged", external_id="2")], BEN)
        ring.write_bytes(newest)
        store.add([source("acknowledged", external_id="2")], BEN)
    with open_store(tmp_path / "s") as store:
        assert store.count(Selection(BEN)) == 1
        assert list(store.check()) == []


def test_tables_that_are_lost_are_read_again(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        store.add([source()], ANA)
        before = tables(store)
        store._database._engine.dispose()  # as SQLAlchemy does with a connection that it mistrusts
        assert tables(store) == before
        store.add([source("more", external_id="2")], ANA)
        assert list(store.check()) == []


def test_what_is_damaged_is_shredded_with_its_scope(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        store.add([source(), source("other", external_id="2")], ANA)
    edit(tmp_path / "s", "UPDATE rows SET content = zeroblob(99) WHERE kind = 'chunks' AND id = 1")
    with open_store(tmp_path / "s") as store:
        problems = [one for one in store.check() if one.repair]
        store.repair(problems)
        store.forget(Selection(ANA), {2: "other"})
        assert held(tmp_path / "s", "chunks") == held(tmp_path / "s", "scopes") == []
    assert keys_of(tmp_path / "s") == [True, False, False]  # the last was of what was repaired


# --- alterations


def two_of_one_scope(folder: Path) -> None:
    with open_store(folder) as store:
        store.add([source("first words"), source("second words", external_id="2")], ANA)
        store.add([source("third words")], BEN)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rows SET content = CAST(content AS TEXT) WHERE kind = 'chunks' AND id = 1",
        # Within a scope, and from one scope to another.
        "UPDATE rows SET content = (SELECT content FROM rows AS o WHERE o.kind = 'chunks' AND "
        "o.id = 2) WHERE kind = 'chunks' AND id = 1",
        "UPDATE rows SET content = (SELECT content FROM rows AS o WHERE o.kind = 'sources' AND "
        "o.id = 3), key_id = (SELECT key_id FROM rows AS o WHERE o.kind = 'sources' AND o.id = 3) "
        "WHERE kind = 'sources' AND id = 1",
        "UPDATE rows SET content = CAST(substr(content, 1, 20) || x'0001' AS BLOB) "
        "WHERE kind = 'chunks' AND id = 1",
        "UPDATE rows SET key_id = 99 WHERE kind = 'chunks' AND id = 1",
        "UPDATE rows SET content = 'text' WHERE kind = 'chunks' AND id = 1",
        "UPDATE rows SET id = 77 WHERE kind = 'chunks' AND id = 1",
        "DELETE FROM rows WHERE kind = 'sources' AND id = 3",
    ],
)
def test_altered_rows_are_reported_and_the_others_stay(tmp_path: Path, statement: str) -> None:
    two_of_one_scope(tmp_path / "s")
    edit(tmp_path / "s", statement)
    with open_store(tmp_path / "s") as store:
        problems = list(store.check())
        assert problems
        assert any(
            "not what was encrypted" in one.what or "taken out" in one.what for one in problems
        )
        assert [one.text_hash for one in store.chunks([2])]
        store.add([source("more", external_id="4")], BEN)
        assert store.search_terms("more", 1).ids.tolist() == [4]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rows SET content = zeroblob(99) WHERE kind = 'sources' AND id = 1",
        "DELETE FROM rows WHERE kind = 'sources' AND id = 1",
    ],
)
@pytest.mark.parametrize("scope", [Scope(), ANA])
def test_what_belongs_to_a_damaged_row_spoils_no_search(
    tmp_path: Path, statement: str, scope: Scope
) -> None:
    two_of_one_scope(tmp_path / "s")
    edit(tmp_path / "s", statement)
    within = Selection(scope)
    with open_store(tmp_path / "s") as store:
        expected = [2] if scope == ANA else [2, 3]
        assert sorted(store.search_terms("first words", 3, within).ids.tolist()) == expected
        found = store.search_vectors(make_embedding("first words"), 3, within).ids.tolist()
        assert sorted(found) == expected
        assert len(store.neighbors(found).sides) == len(found)
        assert any(one.chunk_id == 1 for one in store.check())
        # What cannot be found is forgotten with its scope all the same.
        store.forget(Selection(ANA), {1: "first words", 2: "second words"})
        assert held(tmp_path / "s", "chunks") == [3]


def test_an_older_row_put_back_is_noticed(tmp_path: Path) -> None:
    two_of_one_scope(tmp_path / "s")
    with closing(sqlite3.connect(tmp_path / "s" / "encrypted.db")) as connection:
        query = "SELECT content FROM rows WHERE kind = 'sources' AND id = 1"
        (older,) = connection.execute(query).fetchone()
    with open_store(tmp_path / "s") as store:
        store.update_source(1, metadata={"carriage-number": "none"})
        assert list(store.check()) == []
    edit(tmp_path / "s", "UPDATE rows SET content = ? WHERE kind = 'sources' AND id = 1", (older,))
    with open_store(tmp_path / "s") as store:
        assert any("older ones put back" in one.what for one in store.check())


def test_what_cannot_be_decrypted_is_deleted_by_a_repair(tmp_path: Path) -> None:
    two_of_one_scope(tmp_path / "s")
    edit(tmp_path / "s", "UPDATE rows SET content = zeroblob(99) WHERE kind = 'chunks' AND id = 1")
    edit(tmp_path / "s", "DELETE FROM rows WHERE kind = 'changes' AND id = 2")
    with open_store(tmp_path / "s") as store:
        store.repair(list(store.check()))
        store.rebuild_terms([(2, "second words"), (3, "third words")])
        assert list(store.check()) == []
        assert store.ids().tolist() == [2, 3]
    with open_store(tmp_path / "s") as store:
        assert list(store.check()) == []


def test_nobody_without_the_key_says_what_is_to_be_destroyed(tmp_path: Path) -> None:
    two_of_one_scope(tmp_path / "s")
    edit(tmp_path / "s", "INSERT INTO doomed VALUES (3, zeroblob(50))")
    edit(
        tmp_path / "s",
        "UPDATE owners SET key_id = 3, sealed = (SELECT sealed FROM owners WHERE id = 2) "
        "WHERE kind = 'scopes' AND id = 1",
    )
    with open_store(tmp_path / "s") as store:
        with pytest.raises(CorruptRecordError, match="names another key"):
            store.forget([1, 2], {1: "first words", 2: "second words"})
        assert store.count() == 3
        store.update_source(3, title=None)
        store._database.purge()
    assert keys_of(tmp_path / "s") == [True, True, True]
    with open_store(tmp_path / "s") as store:
        assert store.count() == 3


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE owners SET key_id = 3 WHERE kind = 'scopes' AND id = 1",
        "UPDATE owners SET sealed = zeroblob(60) WHERE kind = 'scopes' AND id = 1",
        "UPDATE owners SET id = 7 WHERE kind = 'scopes' AND id = 1",
        "DELETE FROM owners WHERE kind = 'scopes' AND id = 1",
        "UPDATE owners SET sealed = zeroblob(60)",
    ],
)
def test_which_key_a_scope_has_is_checked_and_mended(tmp_path: Path, statement: str) -> None:
    """Without that, forgetting the scope would destroy another key, or none."""
    two_of_one_scope(tmp_path / "s")
    edit(tmp_path / "s", statement)
    with open_store(tmp_path / "s") as store:
        problems = list(store.check())
        assert any("which key row 1 of 'scopes' has" in one.what for one in problems)
        store.repair(problems)
        assert list(store.check()) == []
        store.forget(Selection(ANA), {1: "first words", 2: "second words"})
        assert store.count() == 1
    assert keys_of(tmp_path / "s") == [True, False, True]


@pytest.mark.parametrize("kind", ["meta", "migrations", "sequence"])
def test_a_store_that_no_longer_says_what_it_is_is_refused(tmp_path: Path, kind: str) -> None:
    two_of_one_scope(tmp_path / "s")
    edit(tmp_path / "s", "UPDATE rows SET content = zeroblob(50) WHERE kind = ?", (kind,))
    with pytest.raises(CorruptRecordError, match="restore it"):
        open_store(tmp_path / "s")


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("UPDATE state SET version = version - 1", CorruptRecordError),
        ("UPDATE state SET sealed = zeroblob(60)", CorruptRecordError),
        ("UPDATE state SET format = 2", StoreError),
        ("DELETE FROM owners WHERE kind = 'store'", CorruptRecordError),
        ("UPDATE owners SET key_id = 2 WHERE kind = 'store'", CorruptRecordError),
        ("CREATE TRIGGER t AFTER INSERT ON rows BEGIN SELECT 1; END", NotAStoreError),
        ("PRAGMA application_id = 1", NotAStoreError),
    ],
)
def test_a_file_that_is_not_as_it_was_made_is_refused(
    tmp_path: Path, statement: str, error: type[Exception]
) -> None:
    two_of_one_scope(tmp_path / "s")
    edit(tmp_path / "s", statement)
    with pytest.raises(error):
        open_store(tmp_path / "s")


def test_a_newer_schema_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_of_one_scope(tmp_path / "s")
    monkeypatch.setattr(mirror, "STEPS", STEPS[:-1])
    with pytest.raises(SchemaVersionError, match="newer agentmem"):
        open_store(tmp_path / "s")


@given(
    st.lists(
        st.none()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False)
        | st.text()
        | st.binary()
    )
)
def test_packed_columns_come_back(values: list[Any]) -> None:
    found = unpack(pack(values))
    assert found == values
    assert [type(one) for one in found] == [type(one) for one in values]


def test_a_sealed_row_opens_only_in_its_place(tmp_path: Path) -> None:
    ring = KeyRing.make(tmp_path / "keys.db", "s", KEY, 1.0)
    one, other = ring.create(), ring.create()
    seal = RowSeal(ring)
    sealed = seal.seal("chunks", 1, one, ["words"])
    assert seal.open("chunks", 1, one, sealed) == ["words"]
    for place in (("chunks", 2, one), ("sources", 1, one), ("chunks", 1, other)):
        assert seal.open(*place, sealed) is None
    foreign = RowSeal(KeyRing.make(tmp_path / "other.db", "s", KEY, 1.0))
    KeyRing.make(tmp_path / "other.db", "s", KEY, 1.0).create()
    assert foreign.open("chunks", 1, one, sealed) is None


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


def test_a_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    two_of_one_scope(tmp_path / "s")
    path = tmp_path / "s" / "encrypted.db"
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(StoreError, match="restore it from a backup"):
        open_store(tmp_path / "s")


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
