"""Forgetting in encrypted stores: the key of what is forgotten is destroyed, in every copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agentmem_storage.encryption.ring import KeyRing
from agentmem_storage.errors import (
    KeyRingError,
)
from agentmem_storage.records import Selection
from tests.support.encrypted import (
    ANA,
    BEN,
    TEXT,
    edit,
    held,
    keys_of,
    open_store,
    source,
    source_ids,
    tables,
)


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
