"""Another master key for an encrypted store: all data keys are wrapped anew, or none."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import agentmem_storage
from agentmem_storage.encryption.master import Key
from agentmem_storage.encryption.transactions import Writer
from agentmem_storage.errors import (
    InputError,
    KeyRingError,
    StoreKeyError,
    WrongKeyError,
)
from agentmem_storage.records import Scope, Selection
from benchmarks.torture import sqlite_calls
from tests.support.encrypted import ANA, BEN, KEY, TEXT, keys_of, open_store, source, tables

NEW = bytes(range(32, 64))


def fill(folder: Path) -> dict[str, Any]:
    """A store with two scopes and a destroyed key; what it has."""
    with open_store(folder) as store:
        store.add([source()], ANA)
        store.add([source()], BEN)
        store.add([source()], Scope("gone"))
        store.forget([3], {3: TEXT})
        return tables(store)


def wrapped(folder: Path) -> list[bytes]:
    with closing(sqlite3.connect(folder / "keys.db")) as connection:
        rows = connection.execute("SELECT wrapped FROM keys WHERE wrapped NOTNULL")
        return [one for (one,) in rows] + [
            proof for (proof,) in connection.execute("SELECT proof FROM ring")
        ]


def rows_of(folder: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "encrypted.db")) as connection:
        return connection.execute("SELECT * FROM rows ORDER BY kind, id").fetchall()


def test_the_new_key_opens_it_and_the_old_one_does_not(tmp_path: Path) -> None:
    before = fill(tmp_path / "s")
    old, sealed = wrapped(tmp_path / "s"), rows_of(tmp_path / "s")
    with open_store(tmp_path / "s") as store:
        store.change_key(NEW)
        # This one goes on, also where it needs further keys.
        store.add([source("after")], Scope("carl"))
        assert list(store.check()) == []
        store.forget(Selection(Scope("carl")), {4: "after"})
    with pytest.raises(WrongKeyError, match="if it was changed since, the new one"):
        open_store(tmp_path / "s")
    assert keys_of(tmp_path / "s") == [True, True, True, False, False]
    ring = (tmp_path / "s" / "keys.db").read_bytes()
    assert not [one for one in old if one in ring]
    with open_store(tmp_path / "s", NEW) as store:
        assert tables(store)["chunks"] == before["chunks"]
        assert list(store.check()) == []
    # What was sealed stays as it is: it is not encrypted again.
    assert set(sealed) - set(rows_of(tmp_path / "s")) <= {
        row for row in sealed if row[0] in ("meta", "sequence", "changes", "scopes")
    }


def test_backups_open_with_the_ring_of_today(tmp_path: Path) -> None:
    fill(tmp_path / "s")
    with open_store(tmp_path / "s") as store:
        store.backup(tmp_path / "backup")
        store.backup(tmp_path / "with keys", keys=True)
        store.change_key(NEW)
        store.forget(Selection(ANA), {1: TEXT})
    shutil.copy(tmp_path / "s" / "keys.db", tmp_path / "backup" / "keys.db")
    with pytest.raises(WrongKeyError):
        open_store(tmp_path / "backup")
    with open_store(tmp_path / "backup", NEW) as restored:
        # What was shredded since is not there.
        assert restored.ids().tolist() == [2]
        assert list(restored.check()) == []
    with open_store(tmp_path / "with keys", KEY) as copy:
        assert copy.ids().tolist() == [1, 2]


def test_others_are_told_at_their_next_call_and_open_it_again(tmp_path: Path) -> None:
    fill(tmp_path / "s")
    with open_store(tmp_path / "s") as store, open_store(tmp_path / "s") as beside:
        beside.add([source("from beside", external_id="b")], ANA)
        store.change_key(NEW)
        calls: list[Callable[[], object]] = [
            beside.count,
            lambda: beside.add([source("more", external_id="c")], ANA),
            lambda: beside.add([source("more")], Scope("new")),
            lambda: beside.change_key(bytes(32)),
        ]
        for call in calls:
            with pytest.raises(WrongKeyError, match="changed while it was open: close it and open"):
                call()
        with open_store(tmp_path / "s", NEW) as again:
            again.add([source("more")], Scope("new"))
            assert again.count() == store.count() == 4
            assert list(store.check()) == []


def test_who_is_not_told_makes_no_key_with_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    fill(tmp_path / "s")
    with open_store(tmp_path / "s") as store, open_store(tmp_path / "s") as beside:
        with monkeypatch.context() as patched:
            patched.setattr(Writer, "commit", full)
            store.change_key(NEW)
        assert "only notice when they need the key" in caplog.text
        # It has the key of this scope already.
        beside.add([source("of ana", external_id="b")], ANA)
        with pytest.raises(WrongKeyError):
            beside.add([source("of somebody")], Scope("new"))
        assert store.count(Selection(ANA)) == 2
        store.add([source("of somebody")], Scope("new"))
        with pytest.raises(WrongKeyError):
            beside.count()
    with open_store(tmp_path / "s", NEW) as store:
        assert store.count() == 4
        assert list(store.check()) == []


def _spoil(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "keys.db")) as connection, connection:
        connection.execute("UPDATE keys SET wrapped = zeroblob(60) WHERE id = 2")


@pytest.mark.parametrize(
    ("key", "error", "match"),
    [
        (KEY, InputError, "is the one that the store"),
        (b"short", StoreKeyError, "has 5 bytes"),
        ("nowhere", StoreKeyError, "cannot be read as a key file"),
        ("s/key", InputError, "inside the folder of the store"),
        (32, TypeError, "not int"),
    ],
)
def test_what_is_no_new_key_is_refused(
    tmp_path: Path, key: Key, error: type[Exception], match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "s")
    (tmp_path / "s" / "key").write_bytes(NEW)
    before = (tmp_path / "s" / "keys.db").read_bytes()
    with open_store(tmp_path / "s") as store:
        with pytest.raises(error, match=match):
            store.change_key(key)
        assert store.count() == 2
    assert (tmp_path / "s" / "keys.db").read_bytes() == before


@pytest.mark.parametrize("damage", [_spoil, lambda folder: (folder / "keys.db").unlink()])
def test_a_ring_that_is_not_whole_is_not_wrapped_anew(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    fill(tmp_path / "s")
    kept = (tmp_path / "s" / "keys.db").read_bytes()
    with open_store(tmp_path / "s") as store:
        damage(tmp_path / "s")
        with pytest.raises(KeyRingError, match=r"keys\.db"):
            store.change_key(NEW)
        (tmp_path / "s" / "keys.db").write_bytes(kept)
        store.change_key(NEW)
    with open_store(tmp_path / "s", NEW) as store:
        assert store.count() == 2


def test_a_store_that_is_not_encrypted_has_no_key_to_change(tmp_path: Path) -> None:
    for place in (tmp_path / "plain", Path(":memory:")):
        with open_store(place, None) as store:
            with pytest.raises(InputError, match="is not encrypted.*export"):
                store.change_key(NEW)


class Death:
    """Kills its process at a file call of SQLite's; an observer for `sqlite_calls.watch`."""

    def __init__(self, at: int) -> None:
        self._left = at
        self.armed = False

    def before(self, call: str, path: str) -> None:
        self._left -= self.armed
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def nothing(self, *_: object, **__: object) -> None:
        pass

    opened = written = truncated = synced = deleted = after = nothing


def change_and_die(folder: Path, at: int) -> bool:
    """Have a process change the key and die at a file call; whether it lived to the end."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            death = Death(at)
            sqlite_calls.watch(death)
            store = open_store(folder)
            death.armed = True
            store.change_key(NEW)
            status = 0
        finally:
            os._exit(status)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL)
    return status == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_any_file_call_it_has_the_old_key_or_the_new_one(
    tmp_path: Path, step: int
) -> None:
    before = fill(tmp_path / "s")
    old = wrapped(tmp_path / "s")
    lived, at, opened_by = False, 1 - step, []
    while not lived:
        at += step
        folder = Path(shutil.copytree(tmp_path / "s", tmp_path / f"{at}"))
        lived = change_and_die(folder, at)
        opens = []
        for key in (KEY, NEW):
            try:
                with open_store(folder, key) as store:
                    assert tables(store) == before
                    assert list(store.check()) == []
                opens.append(key)
            except WrongKeyError:
                continue
        assert len(opens) == 1
        opened_by += opens
        if opens == [NEW]:
            ring = (folder / "keys.db").read_bytes()
            assert not [one for one in old if one in ring]
    # Once it is changed, it stays so; and processes died before and after that.
    assert opened_by == sorted(opened_by)
    assert opened_by.count(KEY) > 4
    assert opened_by.count(NEW) > 1


ADD_UNTIL_TOLD = """
import sys
from agentmem_storage.errors import WrongKeyError
from agentmem_storage.records import Scope
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source

store = Store.open(sys.argv[1], model=MODEL, embedding_dims=EMBEDDING_DIMS, index="exact",
                   key=bytes(range(32)), timeout_s=240.0)
try:
    for number in range(10**6):
        (written,) = store.add([make_source(f"memory {number}")], Scope(f"user {number}"))
        print(written.source_id, flush=True)
except WrongKeyError:
    print("told", flush=True)
"""


def test_another_process_that_writes_meanwhile_loses_nothing(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(Path(agentmem_storage.__file__).parents[1])}
    with open_store(tmp_path / "s") as store:
        command = [sys.executable, "-c", ADD_UNTIL_TOLD, str(tmp_path / "s")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as other:
            assert other.stdout is not None
            said = [other.stdout.readline().strip() for _ in range(3)]
            store.change_key(NEW)
            said += other.stdout.read().split()
        assert other.returncode == 0
        *acknowledged, last = said
        assert last == "told"
    with open_store(tmp_path / "s", NEW) as store:
        there = [one.id for one in store.sources(range(1, store.count() + 1))]
        assert [int(one) for one in acknowledged] == there
        assert list(store.check()) == []
