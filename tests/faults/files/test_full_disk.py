"""On a full disk, `forget` makes room for itself and gives back what it can."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agentmem_storage.errors import StoreUnwritableError
from agentmem_storage.records import Scope
from agentmem_storage.sql.connection.database import Database
from agentmem_storage.sql.writing import deletion
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_embedding, make_source


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "s"


@pytest.fixture
def store(place: Path) -> Iterator[Store]:
    """With a cache and a log."""
    with Store.open(place, model=MODEL, embedding_dims=EMBEDDING_DIMS, index="exact") as store:
        store.add([make_source(f"memory {n}") for n in range(20)], Scope("a"))
        store.search_vectors(make_embedding("x"), 3)
        store.rebuild_index()
        store.add([make_source("the last")], Scope("a"))
        yield store


def test_the_cache_and_the_log_make_room(
    store: Store, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, log = place / "index" / "keys.cache", place / "memory.db-wal"
    original = deletion.forget

    def forget(*args: Any, **options: Any) -> Any:
        # The log has a few bytes again as soon as this transaction has begun to write.
        if cache.exists() or log.stat().st_size > 0:
            raise StoreUnwritableError("database or disk is full")
        return original(*args, **options)

    assert cache.exists()
    assert log.stat().st_size > 0
    monkeypatch.setattr(deletion, "forget", forget)
    assert store.forget([1], {}).ids == (1,)
    assert store.ids().size == 20


def test_a_disk_that_stays_full_is_named_and_nothing_is_deleted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **_: Any) -> Any:
        raise StoreUnwritableError("database or disk is full")

    monkeypatch.setattr(deletion, "forget", full)
    with pytest.raises(StoreUnwritableError, match="full"):
        store.forget([1], {})
    assert store.ids().size == 21


class Full:
    """A connection on a disk without room for the temporary file of a rewrite."""

    def __init__(self, real: sqlite3.Connection, places: set[str]) -> None:
        self._real, self._places, self._place = real, places, ""

    def execute(self, statement: str) -> sqlite3.Cursor:
        if statement.startswith("PRAGMA temp_store"):
            self._place = statement.rpartition(" ")[2]
        if statement == "VACUUM" and self._place in self._places:
            raise StoreUnwritableError("database or disk is full")
        return self._real.execute(statement)


@pytest.mark.parametrize(("places", "purged"), [({"FILE"}, True), ({"FILE", "MEMORY"}, False)])
def test_without_room_for_a_file_the_rewrite_is_done_in_memory(
    store: Store, place: Path, monkeypatch: pytest.MonkeyPatch, places: set[str], purged: bool
) -> None:
    original = Database._bare_connection

    @contextmanager
    def full(self: Database) -> Iterator[Any]:
        with original(self) as connection:
            yield Full(connection, places)

    store.add([make_source(f"memory {n} " * 90) for n in range(60)], Scope("a"))
    store._database.empty_log()
    size = (place / "memory.db").stat().st_size
    with monkeypatch.context() as patch:
        patch.setattr(Database, "_bare_connection", full)
        done = store.forget(store.ids().tolist()[1:], {})
    assert done.purged is purged
    log = (place / "memory.db-wal").stat().st_size
    assert log == 0 or purged  # the mark that it is done is written afterwards
    assert ((place / "memory.db").stat().st_size < size) is purged
    assert store.forget([1], {}).purged  # as soon as there is room
    assert (place / "memory.db").stat().st_size < size
