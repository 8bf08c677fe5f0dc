"""Keys of encrypted stores: what opens one, and rings that are damaged, foreign, old or gone."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agentmem_storage.errors import (
    InputError,
    KeyRequiredError,
    KeyRingError,
    NotAStoreError,
    StoreKeyError,
    StoreNotFoundError,
    WrongKeyError,
)
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL
from tests.support.encrypted import (
    ANA,
    BEN,
    KEY,
    open_store,
    source,
)


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
