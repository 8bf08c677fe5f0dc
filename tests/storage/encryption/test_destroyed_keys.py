"""A destroyed key leaves a tombstone: only who has the master key can make a key look destroyed."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agentmem_storage.encryption.cipher import make_cipher, seal
from agentmem_storage.errors import KeyRingError, StoreError, WrongKeyError
from tests.support.encrypted import ANA, BEN, KEY, TEXT, keys_of, open_store, source, tables


def fill(folder: Path) -> None:
    """Two scopes, the first of them shredded: keys 1 (of the store), 2 (destroyed) and 3."""
    with open_store(folder) as store:
        store.add([source()], ANA)
        store.add([source()], BEN)
        store.forget([1], {1: TEXT})
    assert keys_of(folder) == [True, False, True]


def edit_ring(folder: Path, statement: str, values: tuple[object, ...] = ()) -> None:
    with closing(sqlite3.connect(folder / "keys.db")) as connection, connection:
        assert connection.execute(statement, values).rowcount


def test_a_shredded_scope_opens_as_empty(tmp_path: Path) -> None:
    fill(tmp_path / "s")
    with open_store(tmp_path / "s") as store:
        assert store.ids().tolist() == [2]
        assert list(store.check()) == []


ALTERED = [
    "NULL",
    "x''",
    "zeroblob(28)",
    "zeroblob(60)",
    "'text'",
    "7",
    # Of another key, or its tombstone.
    "(SELECT wrapped FROM keys WHERE id = 1)",
    "(SELECT wrapped FROM keys WHERE id = 2)",
    "(SELECT wrapped FROM keys WHERE id = 3)",
]


@pytest.mark.parametrize(
    ("id", "value"),
    [(id, value) for id in (1, 3) for value in ALTERED if not value.endswith(f"= {id})")],
)
def test_a_key_that_was_altered_is_refused(tmp_path: Path, id: int, value: str) -> None:
    fill(tmp_path / "s")
    edit_ring(tmp_path / "s", f"UPDATE keys SET wrapped = {value} WHERE id = {id}")
    with pytest.raises(KeyRingError, match=f"key {id} is not what was written"):
        open_store(tmp_path / "s")


@pytest.mark.parametrize("value", [one for one in ALTERED if not one.endswith("= 2)")])
def test_a_tombstone_that_was_altered_is_reported_and_mended(tmp_path: Path, value: str) -> None:
    """Nothing is left of it to be read, so the store opens."""
    fill(tmp_path / "s")
    edit_ring(tmp_path / "s", f"UPDATE keys SET wrapped = {value} WHERE id = 2")
    with open_store(tmp_path / "s") as store:
        problems = list(store.check())
        assert [one.what for one in problems] == [
            "keys.db: key 2, of which nothing is left, was altered"
        ]
        store.repair(problems)
        assert list(store.check()) == []
        assert store.ids().tolist() == [2]
    assert keys_of(tmp_path / "s") == [True, False, True]


def test_a_key_that_is_altered_while_the_store_is_open_is_reported(tmp_path: Path) -> None:
    fill(tmp_path / "s")
    with open_store(tmp_path / "s") as store:
        edit_ring(tmp_path / "s", "UPDATE keys SET wrapped = NULL WHERE id = 3")
        assert [one.what for one in store.check()] == [
            "keys.db: key 3 was altered: put back a copy of the file"
        ]
        (tmp_path / "s" / "keys.db").write_bytes(b"x" * 4096)
        assert ["is damaged" in one.what for one in store.check()] == [True]
        (tmp_path / "s" / "keys.db").unlink()
        assert ["is missing" in one.what for one in store.check()] == [True]


def test_a_ring_without_tombstones_gets_them(tmp_path: Path) -> None:
    """Rings were of format 1 before: a destroyed key was NULL."""
    fill(tmp_path / "s")
    edit_ring(tmp_path / "s", "UPDATE keys SET wrapped = NULL WHERE id = 2")
    with closing(sqlite3.connect(tmp_path / "s" / "keys.db")) as connection:
        (ring_id,) = connection.execute("SELECT ring_id FROM ring").fetchone()
    proof = seal(make_cipher(KEY), b"", b"proof" + ring_id)
    edit_ring(tmp_path / "s", "UPDATE ring SET format = 1, proof = ?", (proof,))
    with open_store(tmp_path / "s") as store, open_store(tmp_path / "s") as other:
        assert tables(store) == tables(other)
        assert store.ids().tolist() == [2]
        assert list(store.check()) == []
    edit_ring(tmp_path / "s", "UPDATE keys SET wrapped = NULL WHERE id = 3")
    with pytest.raises(KeyRingError, match="key 3 is not what was written"):
        open_store(tmp_path / "s")


def test_the_format_cannot_be_set_back(tmp_path: Path) -> None:
    fill(tmp_path / "s")
    edit_ring(tmp_path / "s", "UPDATE keys SET wrapped = NULL WHERE id = 3")
    edit_ring(tmp_path / "s", "UPDATE ring SET format = 1")
    with pytest.raises(WrongKeyError):
        open_store(tmp_path / "s")


def test_who_has_the_key_of_before_destroys_nothing(tmp_path: Path) -> None:
    """Its tombstone would be taken for damage by those who have the new one."""
    fill(tmp_path / "s")
    with open_store(tmp_path / "s") as store, open_store(tmp_path / "s") as beside:
        ring = beside._database._file.ring  # type: ignore[attr-defined]
        store.change_key(bytes(32))
        with pytest.raises(WrongKeyError):
            ring.destroy([3])
    assert keys_of(tmp_path / "s") == [True, False, True]


def test_a_row_that_names_a_destroyed_key_is_damaged_and_stays(tmp_path: Path) -> None:
    """It was taken for what is left of a shredded scope, and removed at the next opening."""
    fill(tmp_path / "s")
    with closing(sqlite3.connect(tmp_path / "s" / "encrypted.db")) as connection:
        places = connection.execute("SELECT kind, id FROM rows WHERE key_id <> 2").fetchall()
    assert {kind for kind, _ in places} >= {"chunks", "sources", "scopes", "meta"}
    for number, place in enumerate(places):
        copy = Path(shutil.copytree(tmp_path / "s", tmp_path / f"{number}"))
        named = "SELECT count(*) FROM rows WHERE kind = ? AND id = ?"
        with closing(sqlite3.connect(copy / "encrypted.db")) as connection:
            with connection:
                query = "UPDATE rows SET key_id = 2 WHERE kind = ? AND id = ?"
                assert connection.execute(query, place).rowcount == 1
            try:
                with open_store(copy) as store:
                    assert list(store.check()) != [], place
            except StoreError:
                pass
            assert connection.execute(named, place).fetchone() == (1,)
