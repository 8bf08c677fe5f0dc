"""A writer is killed while it marks the database file, and others go on with the store.

See `agentmem_storage.sql.connection.log_mark`: what they leave must open, with everything in it.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agentmem_storage.errors import StoreIncompleteError
from agentmem_storage.records import Scope
from agentmem_storage.sql.connection import erasing, log_mark
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source

ANA = Scope("ana")
# What a writer calls between the two commits.
WHERE = ("_checkpoint", "clear")


def opened(place: Path) -> Store:
    return Store.open(place, model=MODEL, embedding_dims=EMBEDDING_DIMS)


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed(work: Callable[[], object]) -> None:
    """Do something in a process that is killed in the middle of it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)


def kill_a_writer(place: Path, where: str) -> None:
    """Kill one when its second memory is in the log and the mark is, too."""

    def write() -> None:
        with opened(place) as store:
            setattr(log_mark, where, die)
            store.add([make_source("second")], ANA)

    killed(write)


def texts(place: Path) -> int:
    with opened(place) as store:
        assert list(store.check()) == []
        return store.count()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "store"
    with opened(place) as store:
        store.add([make_source("first")], ANA)
    return place


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("what", ["nothing", "read", "write", "purge", "purge and write"])
def test_another_closes_the_store(place: Path, where: str, what: str) -> None:
    with opened(place) as other:
        assert other.count() == 1
        kill_a_writer(place, where)
        if what == "read":
            assert other.count() == 2
        if "purge" in what:
            assert other.purge()
        if "write" in what:
            other.add([make_source("third")], ANA)
    assert not (place / "memory.db-mark").exists()
    assert texts(place) == (3 if "write" in what else 2)


@pytest.mark.parametrize("where", WHERE)
def test_a_program_that_knows_nothing_of_marks_closes_it(place: Path, where: str) -> None:
    kill_a_writer(place, where)
    with closing(sqlite3.connect(place / "memory.db")) as connection:
        assert connection.execute("SELECT count(*) FROM chunks").fetchone() == (2,)
    assert not (place / "memory.db-wal").exists()
    assert log_mark.is_in_file(place / "memory.db")
    assert texts(place) == 2
    assert not log_mark.is_in_file(place / "memory.db")
    assert not (place / "memory.db-mark").exists()


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("purges", [1, 2, 3])
@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "rewritten"])
def test_another_purges_and_is_killed(
    place: Path, where: str, purges: int, in_place: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if in_place:
        monkeypatch.setattr(erasing, "LEAST_BYTES", 0)
        monkeypatch.setattr(erasing, "_FREE_PART", 0)

    def purge() -> None:
        with opened(place) as store:
            assert store.count() == 1
            kill_a_writer(place, where)
            for _ in range(purges):
                assert store.purge()
            # Acknowledged.
            store.add([make_source("third")], ANA)
            assert texts(place) == 3
            die()

    killed(purge)
    assert texts(place) == 3


@pytest.mark.parametrize("later", ["", "memory.db", "memory.db-mark"])
def test_a_copy_without_the_log_is_still_refused(place: Path, tmp_path: Path, later: str) -> None:
    """Also if one file was copied after others had been written to."""
    kill_a_writer(place, "_checkpoint")
    names = ("memory.db", "memory.db-mark")
    copy = tmp_path / "copy"
    copy.mkdir()
    with opened(place) as store:
        store.add([make_source("third")], ANA)
        for name in names:
            shutil.copy(place / name, copy / name)
        store.add([make_source("fourth")], ANA)
        if later:
            shutil.copy(place / later, copy / later)
    with pytest.raises(StoreIncompleteError, match="without memory.db-wal"):
        opened(copy)
