"""A log that was copied before later writes, beside the database after them, was mixed with it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agentmem import Memory
from agentmem.errors import StoreIncompleteError
from agentmem_storage.records import Scope
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source, terms_of
from tests.support.cli import Cli

LOG = ("memory.db-wal", "memory.db-mark")


def opened(place: Path, **options: Any) -> Store:
    return Store.open(place, model=MODEL, embedding_dims=EMBEDDING_DIMS, **options)


def add(store: Store, word: str, count: int = 30) -> None:
    store.add([make_source(f"{word} {n}") for n in range(count)], Scope(word))


def copied(place: Path, target: Path, *names: str) -> Path:
    target.mkdir(exist_ok=True)
    for name in names:
        shutil.copy(place / name, target / name)
    return target


@pytest.mark.parametrize(("commits", "later"), [(0, 40), (3, 2)])
def test_an_older_log_beside_a_database_that_has_all_is_refused(
    tmp_path: Path, commits: int, later: int
) -> None:
    with opened(tmp_path / "store") as store:
        add(store, "early")
        store._database.empty_log()
        for number in range(commits + 1):  # the first one begins the log anew
            add(store, f"mid{number}", 5)
        mixed = copied(tmp_path / "store", tmp_path / "mixed", *LOG)
        add(store, "late", later)
        store._database.empty_log()
        copied(tmp_path / "store", mixed, "memory.db")
        everything = len(store.ids())
    files = {file.name: file.read_bytes() for file in mixed.iterdir()}
    for _ in range(2):
        with pytest.raises(StoreIncompleteError, match=r"memory\.db-wal is older than memory\.db;"):
            opened(mixed)
    assert {name: (mixed / name).read_bytes() for name in files} == files
    # As the error says.
    with opened(copied(mixed, tmp_path / "alone", "memory.db")) as store:
        assert len(store.ids()) == everything
        assert list(store.check()) == []


def test_one_of_before_a_vacuum_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "store") as store:
        add(store, "early")
        mixed = copied(tmp_path / "store", tmp_path / "mixed", *LOG)
        source = make_source("gone")
        (gone,) = store.add([source], Scope("ana"))
        store.forget(gone.chunk_ids, terms_of(gone, source))
        assert store._database.purge()
        copied(tmp_path / "store", mixed, "memory.db")
    with pytest.raises(StoreIncompleteError):
        opened(mixed)


def test_what_was_copied_together_is_an_older_store(tmp_path: Path) -> None:
    with opened(tmp_path / "store") as store:
        add(store, "early")
        older = copied(tmp_path / "store", tmp_path / "older", *LOG)
        add(store, "late")
        # Nothing of the later writes is in it yet: it is as it was when the log was copied.
        copied(tmp_path / "store", older, "memory.db")
    with opened(older) as store:
        assert len(store.ids()) == 30
        assert list(store.check()) == []


def test_no_false_alarm_after_a_vacuum_that_is_in_the_log(tmp_path: Path) -> None:
    place = tmp_path / "store"
    with opened(place, timeout_s=0.05) as store:
        add(store, "kept")
        sources = [make_source(f"gone {n}") for n in range(200)]
        written = store.add(sources, Scope("ana"))
        store._database.empty_log()
        terms: dict[int, str] = {}
        for one, source in zip(written, sources, strict=True):
            terms |= terms_of(one, source)
        with closing(sqlite3.connect(place / "memory.db")) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM chunks").fetchone()
            store.forget(list(terms), terms)
            assert not store._database.purge(wait=False)
            copy = copied(place, tmp_path / "copy", "memory.db", *LOG)
    before = (copy / "memory.db").stat().st_size
    with opened(copy) as store:
        assert len(store.ids()) == 30
        assert list(store.check()) == []
    assert (copy / "memory.db").stat().st_size < before


def test_through_the_sdk_and_the_command_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    with Memory(cli.store) as memory:
        memory.add([f"early {n}" for n in range(3)])
        mixed = copied(cli.store, tmp_path / "mixed", *LOG)
        memory.add([f"late {n}" for n in range(40)])
        memory._store._database.empty_log()  # type: ignore[union-attr]
        copied(cli.store, mixed, "memory.db")
    with pytest.raises(StoreIncompleteError):
        Memory(mixed)
    assert "is older than" in cli.error(7, "stats", "--store", mixed)
