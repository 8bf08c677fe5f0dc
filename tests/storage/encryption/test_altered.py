"""Altered files of encrypted stores: damaged rows are reported, or the store is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem_storage.encryption.ring import KeyRing
from agentmem_storage.encryption.sealing import RowSeal, pack, unpack
from agentmem_storage.errors import (
    CorruptRecordError,
    NotAStoreError,
    SchemaVersionError,
    StoreError,
)
from agentmem_storage.records import Scope, Selection
from agentmem_storage.sql.connection.migrations import STEPS
from agentmem_storage.sql.sealed import mirror
from agentmem_storage.testing import make_embedding
from tests.support.encrypted import (
    ANA,
    BEN,
    KEY,
    edit,
    held,
    keys_of,
    open_store,
    source,
)


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


def test_a_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    two_of_one_scope(tmp_path / "s")
    path = tmp_path / "s" / "encrypted.db"
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(StoreError, match="restore it from a backup"):
        open_store(tmp_path / "s")
